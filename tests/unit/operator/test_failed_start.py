"""What to do after a failed start."""

import dataclasses

import pytest

from headrace_api.names import Reason, State
from headrace_operator.decision import Decision, DeletePod, StartAttempt, WriteStatus
from headrace_operator.policies.failed_start import NameTaken, Obstacle, Refused, RefusedForGood, SlotLost, after_failed_start
from headrace_operator.state import Pod
from headrace_testing.builders import make_job, make_pod, seconds

NOW = seconds(100)
A = make_job("a")
OTHERS = dataclasses.replace(make_pod(A).view(), owner_uid="an-earlier-a", project="elsewhere")


def after(obstacle: Obstacle) -> Decision:
    return after_failed_start(StartAttempt(A.view(), 1), obstacle, NOW)


def wait_of(decision: Decision) -> float | None:
    return (decision.wake - NOW).total_seconds() if decision.wake else None


@pytest.mark.parametrize(
    ("obstacle", "state", "reason", "words", "wait"),
    [
        (Refused("403: quota"), State.QUEUED, Reason.POD_REFUSED, "retrying every 10 s: 403: quota", 10),
        (RefusedForGood("422"), State.ERROR, Reason.POD_REFUSED, "rejects the pod as invalid: 422", 0),
        (NameTaken(OTHERS), State.QUEUED, Reason.WAITING_FOR_POD_TO_END, "pod a-1 of an earlier job", 5),
    ],
)
def test_the_status_says_why(obstacle: Obstacle, state: State, reason: Reason, words: str, wait: float) -> None:
    decision = after(obstacle)
    (action,) = decision.actions
    assert isinstance(action, WriteStatus)
    assert (action.status.state, action.status.reason) == (state, reason)
    assert words in (action.status.message or "")
    assert wait_of(decision) == wait


def test_the_same_status_is_not_written_again() -> None:
    (first,) = after(Refused("403: quota")).actions
    assert isinstance(first, WriteStatus)
    told = make_job("a").status(**first.status.model_dump(mode="json", by_alias=True, exclude_none=True)).view()
    again = after_failed_start(StartAttempt(told, 1), Refused("403: quota"), NOW)
    assert (again.actions, wait_of(again)) == ([], 10)


@pytest.mark.parametrize(("pod", "wait"), [(None, 0.1), (make_pod(A).view(), 0.5)], ids=["gone again", "made by another operator"])
def test_a_name_that_is_taken_for_a_moment_is_not_reported(pod: Pod | None, wait: float) -> None:
    decision = after(NameTaken(pod))
    assert (decision.actions, wait_of(decision)) == ([], wait)


def test_the_pod_of_a_start_that_lost_the_race_is_deleted() -> None:
    pod = make_pod(A).view()
    decision = after(SlotLost(pod))
    assert decision.actions == [DeletePod(pod, "another start took the slot first")]
    assert wait_of(decision) == 1
