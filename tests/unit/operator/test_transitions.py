"""Events."""

import pytest

from headrace_api.names import Reason, State
from headrace_api.trainingjob import TrainingJobStatus
from headrace_operator.transitions import event_for
from headrace_testing.builders import make_job, seconds


def note_of(message: str) -> str:
    status = TrainingJobStatus(state=State.ERROR, reason=Reason.TRAINER_CRASHED, message=message)
    event = event_for(make_job("a").view(), status, "operator-1", seconds(1))
    assert event is not None
    note: str = event["note"]
    return note


@pytest.mark.parametrize("message", ["x" * 1024, "short", "é" * 512])
def test_a_message_that_fits_is_kept_whole(message: str) -> None:
    assert note_of(message) == message


@pytest.mark.parametrize("message", ["x" * 1025, "é" * 4000, "x" + "€" * 400])
def test_a_long_message_is_cut_to_the_bytes_the_api_server_takes(message: str) -> None:
    note = note_of(message)
    assert 1018 <= len(note.encode()) <= 1024
    assert note.endswith("…")
    assert message.startswith(note[:-1])
