"""Objects as the operator reads them, including those that it would never have written."""

import json

import pytest

from headrace_api import names
from headrace_api.names import Reason, State
from headrace_api.report import Verdict
from headrace_testing.builders import make_job, make_pod, outcome


@pytest.mark.parametrize("label", ["first", "", "1_000", "-5"])
def test_an_attempt_that_is_not_a_number_is_zero(label: str) -> None:
    pod = make_pod(make_job("a"))
    pod.raw["metadata"]["labels"][names.LABEL_ATTEMPT] = label
    assert pod.view().attempt == 0


def test_a_reason_of_a_newer_operator_does_not_hide_the_rest_of_the_status() -> None:
    job = make_job("a").over(State.DONE).status(reason="Levitating").view()
    assert (job.over, job.status.reason, job.unreadable) == (True, None, "")


def test_an_interruption_is_not_blamed_on_the_user_whatever_the_trainer_calls_it() -> None:
    told = json.loads(outcome(Verdict.STOPPED, Reason.INTERRUPTED))
    for reason, want in {
        "Interrupted": Reason.INTERRUPTED,
        "StoppedByUser": Reason.STOPPED_BY_USER,
        "New": Reason.INTERRUPTED,
    }.items():
        read = make_pod(make_job("a")).exited(0, json.dumps(told | {"reason": reason})).view().outcome
        assert read is not None
        assert (read.outcome, read.reason) == (Verdict.STOPPED, want)


def test_an_outcome_of_a_newer_trainer_counts() -> None:
    told = json.loads(outcome(Verdict.ERROR, Reason.BAD_DATASET, "why")) | {"reason": "Levitating", "new": 1}
    read = make_pod(make_job("a")).exited(2, json.dumps(told)).view().outcome
    assert read is not None
    assert (read.outcome, read.reason, read.message) == (Verdict.ERROR, Reason.TRAINER_CRASHED, "why")
