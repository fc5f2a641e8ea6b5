"""Which end has which exit code, and how long its uploads may take."""

import time
from collections.abc import Callable, Iterator

import pytest

from headrace_api.errors import FatalError, RetryableError
from headrace_api.names import ExitCode, Reason
from headrace_api.report import Verdict
from headrace_storage.stop import Stop
from headrace_trainer.protocol import Ended
from headrace_trainer.supervisor.ending import Ending, UploadDeadline


@pytest.fixture
def stop() -> Iterator[Stop]:
    stop = Stop()
    yield stop
    stop.close()


def ended(verdict: Verdict, retry: bool = False) -> Ending:
    return Ending.from_worker(Ended(verdict=verdict, reason=Reason.TRAINING, retry=retry))


@pytest.mark.parametrize(
    ("ending", "want"),
    [
        (ended(Verdict.DONE), ExitCode.OK),
        (ended(Verdict.STOPPED), ExitCode.OK),
        (ended(Verdict.ERROR), ExitCode.FATAL),
        (ended(Verdict.ERROR, retry=True), ExitCode.RETRY),
        (Ending.stopped(""), ExitCode.OK),
        (Ending.from_error(FatalError(Reason.BAD_DATASET, "bad")), ExitCode.FATAL),
        (Ending.from_error(RetryableError(Reason.DISK_FULL, "full")), ExitCode.RETRY),
        (Ending.from_error(ZeroDivisionError("bug")), ExitCode.RETRY),
    ],
)
def test_exit_codes(ending: Ending, want: ExitCode) -> None:
    assert ending.exit_code is want


def test_an_interrupted_worker_does_not_say_who_stopped_it() -> None:
    ending = Ending.stopped("told so")
    assert (ending.verdict, ending.reason) == (Verdict.STOPPED, Reason.INTERRUPTED)


def test_a_bug_is_named() -> None:
    assert Ending.from_error(ZeroDivisionError("bug")).message == "the supervisor crashed: ZeroDivisionError: bug"


class Waiting:
    """Uploads of which `pending` tells whether any are left."""

    def __init__(self, pending: Callable[[], bool], last_sent_at: float = 0.0) -> None:
        self._pending, self.last_sent_at = pending, last_sent_at

    @property
    def files_pending(self) -> bool:
        return self._pending()


def seconds_left(ending: Ending, stop: Stop, files_wait: bool = False) -> float:
    return UploadDeadline(ending, 1800, stop, 100, Waiting(lambda: files_wait))() - time.monotonic()


def test_the_upload_of_a_model_may_take_longer_than_the_log_of_an_error(stop: Stop) -> None:
    assert seconds_left(ended(Verdict.DONE), stop) == pytest.approx(1800, abs=1)
    assert seconds_left(ended(Verdict.ERROR), stop) == pytest.approx(60, abs=1)
    of_storage = Ending.from_error(RetryableError(Reason.STORAGE_UNAVAILABLE, "down"))
    assert seconds_left(of_storage, stop) == pytest.approx(5, abs=1)


def test_after_an_error_the_checkpoint_upload_gets_its_time_and_then_the_log(stop: Stop) -> None:
    waiting = [True]
    began = time.monotonic()
    deadline = UploadDeadline(ended(Verdict.ERROR), 1800, stop, 100, Waiting(lambda: bool(waiting)))
    assert deadline() - began == pytest.approx(1800, abs=1)
    while time.monotonic() < began + 0.05:
        pass
    arrived = time.monotonic()
    deadline()
    waiting.clear()
    assert deadline() == pytest.approx(arrived + 60, abs=0.04)


def test_sigterm_shortens_the_wait_for_the_checkpoint_of_an_error(stop: Stop) -> None:
    stop.request()
    assert seconds_left(ended(Verdict.ERROR), stop, files_wait=True) <= 95


def test_sigterm_brings_the_deadline_forward_also_while_it_is_waited_for(stop: Stop) -> None:
    deadline = UploadDeadline(ended(Verdict.DONE), 1800, stop, 100, Waiting(lambda: False))
    assert deadline() - time.monotonic() > 1000
    stop.request()
    assert deadline() - stop.requested_at == pytest.approx(95)
    stop.request()
    assert deadline() - time.monotonic() <= 2


def test_patience_with_files_counts_from_the_last_byte_that_moved(stop: Stop) -> None:
    uploads = Waiting(lambda: True)
    deadline = UploadDeadline(ended(Verdict.DONE), 1800, stop, 100, uploads)
    uploads.last_sent_at = time.monotonic() + 5000
    assert deadline() == uploads.last_sent_at + 1800
