"""judge(): the failure table, row by row."""

import pytest

from headrace_api.names import Reason, State
from headrace_api.report import Verdict
from headrace_operator.attempts import Judgement, judge
from headrace_operator.clock import timestamp
from headrace_operator.settings import Settings
from headrace_operator.state import ProjectKey, View
from headrace_testing.builders import JobBuilder, PodBuilder, make_job, make_pod, seconds

SETTINGS = Settings(trainer_image="trainer:1")


def judged(job: JobBuilder, pod: PodBuilder | None, at: float = 0) -> Judgement:
    pods = (pod.view(),) if pod else ()
    view = View(ProjectKey("ns", "p"), (job.view(),), pods)
    return judge(job.view(), pods[0] if pods else None, view, SETTINGS, seconds(at))


JOB = make_job("a").running()
DISK = 'Usage of EmptyDir volume "workspace" exceeds the limit "50Gi". '

ROWS: dict[str, tuple[PodBuilder | None, State | None, bool, str]] = {
    "done": (make_pod(JOB).ended(Verdict.DONE, Reason.REACHED_MAX_ITERATIONS), State.DONE, False, "ReachedMaxIterations"),
    "hours are up": (
        make_pod(JOB).ended(Verdict.DONE, Reason.REACHED_MAX_TRAINING_HOURS),
        State.DONE,
        False,
        "ReachedMaxTrainingHours",
    ),
    "exit 0 without an outcome": (make_pod(JOB).exited(0), State.DONE, False, "ReachedMaxIterations"),
    "done while being deleted": (
        make_pod(JOB).ended(Verdict.DONE, Reason.REACHED_MAX_ITERATIONS).deleting(),
        State.DONE,
        False,
        "Reached",
    ),
    "exit 0 without an outcome, being deleted": (make_pod(JOB).exited(0).deleting(), None, False, "PodDeleted"),
    "error for good": (make_pod(JOB).ended(Verdict.ERROR, Reason.NO_SUCH_LAYER, 2), State.ERROR, False, "NoSuchLayer"),
    "error for good without an outcome": (make_pod(JOB).exited(2, "usage"), State.ERROR, False, "TrainerCrashed"),
    "error worth a retry": (make_pod(JOB).ended(Verdict.ERROR, Reason.STORAGE_UNAVAILABLE, 1), None, True, "StorageUnavailable"),
    "a crash": (make_pod(JOB).exited(139), None, True, "TrainerCrashed"),
    "out of memory": (make_pod(JOB).exited(137, reason="OOMKilled"), None, True, "OutOfMemory"),
    "killed": (make_pod(JOB).exited(137), None, True, "TrainerCrashed"),
    "eviction": (make_pod(JOB).disrupted().exited(137).deleting(), None, False, "EvictionByEvictionAPI"),
    "preemption": (make_pod(JOB).disrupted("PreemptionByScheduler").exited(1).deleting(), None, False, "PreemptionByScheduler"),
    "evicted by the kubelet": (make_pod(JOB).pod_failed("Evicted", "The node was low on memory"), None, False, "Evicted"),
    "its own disk is full": (make_pod(JOB).disrupted("TerminationByKubelet").pod_failed("Evicted", DISK), None, True, "DiskFull"),
    "node shutdown": (make_pod(JOB).pod_failed("NodeShutdown"), None, False, "NodeShutdown"),
    "deleted by hand, checkpointed": (
        make_pod(JOB).ended(Verdict.STOPPED, Reason.INTERRUPTED).deleting(),
        None,
        False,
        "PodDeleted",
    ),
    "deleted by hand, checkpointed by an older trainer": (
        make_pod(JOB).ended(Verdict.STOPPED, Reason.STOPPED_BY_USER).deleting(),
        None,
        False,
        "PodDeleted",
    ),
    "evicted, checkpointed": (make_pod(JOB).ended(Verdict.STOPPED, Reason.INTERRUPTED).disrupted(), None, False, "EvictionBy"),
    "done, with a reason that no status has": (
        make_pod(JOB).ended(Verdict.DONE, Reason.INTERRUPTED),
        State.DONE,
        False,
        "ReachedMaxIterations",
    ),
    "a trainer that contradicts itself": (
        make_pod(JOB).ended(Verdict.STOPPED, Reason.INTERRUPTED, 2),
        State.ERROR,
        False,
        "TrainerCrashed",
    ),
    "deleted by hand, grace ran out": (make_pod(JOB).exited(137).deleting(), None, False, "PodDeleted"),
    "vanished": (None, None, False, "PodVanished"),
    "refused by the kubelet": (make_pod(JOB).pod_failed("UnexpectedAdmissionError"), None, False, "UnexpectedAdmissionError"),
}


@pytest.mark.parametrize("row", ROWS)
def test_what_happens_after(row: str) -> None:
    pod, want_state, want_charged, want_reason = ROWS[row]
    judgement = judged(JOB, pod)
    assert (judgement.final, judgement.charged) == (want_state, want_charged)
    assert judgement.reason.startswith(want_reason)


@pytest.mark.parametrize("row", ROWS)
def test_a_job_that_is_stopped_is_stopped_however_its_pod_ended_unless_it_is_done(row: str) -> None:
    pod, want_state, _, _ = ROWS[row]
    want = State.DONE if want_state is State.DONE else State.STOPPED
    assert judged(make_job("a").running().stop(), pod).final is want


@pytest.mark.parametrize("row", ROWS)
def test_the_status_says_stopped_by_the_user_only_if_spec_stop_is_set(row: str) -> None:
    pod, want_state, _, _ = ROWS[row]
    judgement = judged(JOB, pod)
    assert Reason.STOPPED_BY_USER not in (judgement.reason, judgement.final_reason)
    stopped = judged(make_job("a").running().stop(), pod)
    assert (stopped.final_reason is Reason.STOPPED_BY_USER) is (want_state is not State.DONE)


@pytest.mark.parametrize(("failures", "want_pause"), [(0, 10), (1, 20), (2, 40), (5, 320), (6, 360), (60, 360)])
def test_pauses_double_up_to_their_cap(failures: int, want_pause: float) -> None:
    job = make_job("a").running().status(failures=failures).spec(backoffLimit=100)
    assert judged(job, make_pod(job).exited(1)).pause == want_pause


def test_uncharged_ends_are_followed_at_once_but_a_refusing_kubelet_is_not_hammered() -> None:
    assert judged(JOB, make_pod(JOB).disrupted().exited(137)).pause == 0
    assert judged(JOB, make_pod(JOB).pod_failed("UnexpectedAdmissionError")).pause == 10


def evicted_again(gap: float, **status: object) -> tuple[JobBuilder, PodBuilder]:
    """A job evicted for the second time; its second pod was created this many seconds after the first one ended."""
    job = make_job("a").failed_once(charged=False).running(2).status(**status)
    job.raw["status"]["lastAttempt"]["finishedTime"] = timestamp(seconds(-gap))
    return job, make_pod(job, 2).pod_failed("Evicted", "The node was low on memory")


@pytest.mark.parametrize(("gap", "want_pause"), [(0, 10), (3, 10), (10, 20), (40, 80), (200, 360), (4000, 360)])
def test_uncharged_ends_in_a_row_are_followed_by_pauses_that_double(gap: float, want_pause: float) -> None:
    assert judged(*evicted_again(gap)).pause == want_pause


def test_an_eviction_after_a_long_attempt_is_followed_at_once() -> None:
    assert judged(*evicted_again(10), at=SETTINGS.backoff_cap).pause == 0


def test_an_eviction_that_left_a_new_checkpoint_is_followed_at_once() -> None:
    job, pod = evicted_again(10)
    assert judged(job, pod.ended(Verdict.STOPPED, Reason.INTERRUPTED, iteration=9).disrupted()).pause == 0
    old = {"iteration": 9, "uri": "s3://runs/x/", "savedTime": timestamp(seconds(0))}
    job, pod = evicted_again(10, checkpoint=old)
    assert judged(job, pod.ended(Verdict.STOPPED, Reason.INTERRUPTED, iteration=9).disrupted()).pause == 20


def test_a_pod_deleted_by_hand_again_and_again_is_followed_at_once() -> None:
    job, _ = evicted_again(10)
    assert judged(job, make_pod(job, 2).exited(143).deleting()).pause == 0


def test_the_failure_beyond_the_limit_is_the_last() -> None:
    job = make_job("a").running().status(failures=3).spec(backoffLimit=3)
    judgement = judged(job, make_pod(job).exited(1, "boom"))
    assert (judgement.final, judgement.final_reason) == (State.ERROR, Reason.BACKOFF_LIMIT_EXCEEDED)
    assert judgement.message == "boom"


def test_the_reason_of_a_stopped_job_does_not_hide_its_failure() -> None:
    assert "boom" in judged(make_job("a").running().stop(), make_pod(JOB).exited(1, "boom")).message
