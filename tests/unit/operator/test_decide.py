"""decide(): who waits, who starts, who ends."""

from collections.abc import Iterator
from typing import Any

import pytest

from headrace_api.names import Reason, State
from headrace_api.report import Phase, TrainerStatus, Verdict
from headrace_api.trainingjob import Progress, TrainingJobStatus
from headrace_operator.decide import decide
from headrace_operator.decision import Decision, DeleteJob, DeletePod, LookAtNode, StartAttempt, WriteStatus
from headrace_operator.settings import Settings
from headrace_operator.state import Node, ProjectKey, Report, View
from headrace_testing.builders import JobBuilder, PodBuilder, make_job, make_pod, seconds

SETTINGS = Settings(trainer_image="trainer:1")


def decided(*things: JobBuilder | PodBuilder, at: float = 100, settings: Settings = SETTINGS, **view: Any) -> Decision:
    jobs = sorted((thing.view() for thing in things if isinstance(thing, JobBuilder)), key=lambda job: job.order)
    pods = tuple(thing.view() for thing in things if isinstance(thing, PodBuilder))
    return decide(View(ProjectKey("ns", "p"), tuple(jobs), pods, **view), settings, seconds(at))


def status_of(name: str, decision: Decision) -> TrainingJobStatus:
    written = [a.status for a in decision.actions if isinstance(a, WriteStatus) and a.job.name == name]
    assert len(written) == 1, f"{name} was written {len(written)} times: {decision.actions}"
    return written[0]


def started(decision: Decision) -> tuple[str, int] | None:
    start = decision.start()
    return (start.job.name, start.attempt) if start else None


def deleted(decision: Decision) -> list[str]:
    return [action.pod.name for action in decision.actions if isinstance(action, DeletePod)]


def test_an_empty_project_needs_nothing() -> None:
    decision = decided()
    assert (decision.actions, decision.wake) == ([], None)


def test_the_first_job_starts_and_the_others_wait_behind_it() -> None:
    decision = decided(make_job("a"), make_job("b").created(1), make_job("c").created(2))
    assert started(decision) == ("a", 1)
    assert decision.needs.jobs, "a start needs a live LIST"
    assert status_of("b", decision).message == "behind a (2nd in line)"
    assert status_of("c", decision).message == "behind a, b (3rd in line)"
    assert status_of("c", decision).reason is Reason.WAITING_FOR_EARLIER_JOB


def test_a_long_line_names_five_and_counts_the_rest() -> None:
    jobs = [make_job(f"j{number:02}").created(number) for number in range(22)]
    assert status_of("j21", decided(*jobs)).message == "behind j00, j01, j02, j03, j04 and 16 more (22nd in line)"


def test_jobs_of_one_second_go_by_name() -> None:
    assert started(decided(make_job("b"), make_job("a"))) == ("a", 1)


@pytest.mark.parametrize(
    ("first", "want"),
    [
        (make_job("a").suspend(), ("b", 1)),
        (make_job("a").stop(), ("b", 1)),
        (make_job("a").over(State.ERROR), ("b", 1)),
        (make_job("a").deleting(), ("b", 1)),
        (make_job("a").spec(storage=None), ("b", 1)),
        (make_job("a").spec(dataset=None), ("b", 1)),
        (make_job("a").failed_once(next_at=200), None),
        (make_job("a").failed_once(next_at=50), ("a", 2)),
    ],
    ids=["suspended", "stopped", "over", "deleting", "no storage", "invalid", "in its pause", "its pause is over"],
)
def test_who_starts_when_the_first_in_line_is(first: JobBuilder, want: tuple[str, int] | None) -> None:
    assert started(decided(first, make_job("b").created(1))) == want


@pytest.mark.parametrize("state", ["unplaced", "starting", "running", "terminating"])
def test_a_pod_that_is_not_over_keeps_the_slot(state: str) -> None:
    job = make_job("a").running()
    pods = {
        "unplaced": make_pod(job),
        "starting": make_pod(job).scheduled(),
        "running": make_pod(job).ready(),
        "terminating": make_pod(job).ready().deleting(200),
    }
    pod = pods[state]
    decision = decided(job, pod, make_job("b").created(1))
    assert started(decision) is None
    assert status_of("b", decision).message == "behind a (2nd in line)"


def test_a_job_that_is_over_frees_the_slot_in_the_same_decision() -> None:
    job = make_job("a").running()
    decision = decided(job, make_pod(job).ended(Verdict.DONE, Reason.REACHED_MAX_ITERATIONS), make_job("b").created(1))
    assert status_of("a", decision).state is State.DONE
    assert started(decision) == ("b", 1)
    kinds = [type(action) for action in decision.actions]
    assert kinds.index(WriteStatus) < kinds.index(StartAttempt), "the end is written before the next one starts"


def test_a_retry_comes_before_later_jobs_and_only_after_its_failure_is_written() -> None:
    job = make_job("a").running()
    decision = decided(job, make_pod(job).exited(1, "boom"), make_job("b").created(1))
    assert started(decision) is None
    status = status_of("a", decision)
    assert (status.state, status.reason, status.failures) == (State.QUEUED, Reason.WAITING_FOR_RETRY, 1)
    assert status.next_attempt_time == "2026-01-01T00:01:50.000Z"
    assert status.message == "attempt 1 ended: boom; attempt 2 at 2026-01-01T00:01:50Z"
    assert status_of("b", decision).message == "behind a (2nd in line)"


def test_a_pause_before_a_retry_ends_by_itself() -> None:
    assert decided(make_job("a").failed_once(next_at=130)).wake == seconds(130)


def test_a_pod_of_a_deleted_job_keeps_the_slot_until_it_is_over() -> None:
    gone = make_job("gone")
    decision = decided(make_pod(gone).ready(), make_job("a"))
    assert deleted(decision) == ["gone-1"]
    assert decision.needs.jobs, "only a live LIST can say that a job is gone"
    assert started(decision) is None
    assert status_of("a", decision).message == "first in line; waiting for pod gone-1 to end"


def test_a_gated_pod_is_deleted_and_is_not_an_attempt() -> None:
    job = make_job("a")
    decision = decided(job, make_pod(job).gated())
    assert deleted(decision) == ["a-1"]
    assert started(decision) is None
    assert started(decided(job)) == ("a", 1)


def test_only_a_live_list_proves_that_a_pod_has_vanished() -> None:
    decision = decided(make_job("a").running())
    assert decision.needs.pods
    status = status_of("a", decision)
    assert status.last_attempt is not None
    assert (status.last_attempt.reason, status.failures) == ("PodVanished", 0)


def test_a_pod_that_the_status_does_not_know_yet_counts_as_an_attempt() -> None:
    job = make_job("a")
    assert status_of("a", decided(job, make_pod(job).scheduled())).attempts == 1


def test_an_attempt_is_counted_once() -> None:
    job = make_job("a").failed_once(attempt=1, next_at=200)
    decision = decided(job, make_pod(job, 1).exited(1))
    assert all(action.status.failures == 1 for action in decision.actions if isinstance(action, WriteStatus))


@pytest.mark.parametrize(("change", "reason"), [("stop", Reason.STOPPING), ("suspend", Reason.SUSPENDING)])
def test_the_pod_of_a_running_job_that_must_leave_is_deleted_once(change: str, reason: Reason) -> None:
    job = getattr(make_job("a").running(), change)()
    decision = decided(job, make_pod(job).ready())
    assert deleted(decision) == ["a-1"]
    assert (status_of("a", decision).state, status_of("a", decision).reason) == (State.RUNNING, reason)
    assert deleted(decided(job, make_pod(job).ready().deleting(200))) == []


def test_a_paused_job_with_a_pod_does_not_block_the_line_but_its_pod_does() -> None:
    job = make_job("a").running().suspend()
    decision = decided(job, make_pod(job).ready().deleting(200), make_job("b").created(1))
    assert status_of("b", decision).message == "first in line; waiting for pod a-1 to end"


def test_a_stopped_job_is_over_once_its_pod_is() -> None:
    job = make_job("a").running().stop()
    status = status_of("a", decided(job, make_pod(job).ended(Verdict.STOPPED, Reason.INTERRUPTED, iteration=7)))
    assert status.state is State.STOPPED
    assert status.message == "stopped by the user at iteration 7; checkpoint: s3://runs/x/checkpoints/00000007/"


def test_a_job_stays_running_when_a_probe_fails_once() -> None:
    job = make_job("a").running()
    decision = decided(job, make_pod(job).not_ready())
    assert not any(isinstance(a, WriteStatus) and a.status.state is not State.RUNNING for a in decision.actions)


def test_the_node_of_a_silent_pod_is_checked() -> None:
    job = make_job("a").running()
    pod = make_pod(job).not_ready()
    assert LookAtNode(pod.view()) in decided(job, pod).actions
    namespaced = Settings(trainer_image="t", watch_namespaces=("ns",))
    assert LookAtNode(pod.view()) not in decided(job, pod, settings=namespaced).actions


def test_the_node_of_a_pod_that_should_have_ended_is_checked() -> None:
    job = make_job("a").running()
    pod = make_pod(job).ready().deleting(50)
    assert LookAtNode(pod.view()) in decided(job, pod, at=60).actions
    early = decided(job, pod, at=52)
    assert LookAtNode(pod.view()) not in early.actions
    assert early.wake == seconds(55)


def test_a_node_that_exists_but_does_not_answer_keeps_the_slot_and_the_status_says_so() -> None:
    job = make_job("a").running()
    pod = make_pod(job).not_ready()
    node = Node("node-1", seconds(95), exists=True, out_of_service=False, ready=False)
    decision = decided(job, pod, make_job("b").created(1), nodes={pod.view().uid: node})
    status = status_of("a", decision)
    assert status.reason is Reason.NODE_LOST
    assert "node node-1 does not answer; the slot stays taken until" in status.message
    assert started(decision) is None
    assert decision.wake == seconds(105), "the operator checks the node again"


def test_a_trainer_that_is_not_ready_on_a_node_that_answers_is_not_a_lost_node() -> None:
    job = make_job("a").running()
    pod = make_pod(job).not_ready()
    node = Node("node-1", seconds(95), exists=True, out_of_service=False, ready=True)
    assert status_of("a", decided(job, pod, nodes={pod.view().uid: node})).reason is Reason.TRAINING


@pytest.mark.parametrize("fate", [{"exists": False, "out_of_service": False}, {"exists": True, "out_of_service": True}])
def test_a_lost_node_frees_the_slot_and_costs_nothing(fate: dict[str, bool]) -> None:
    job = make_job("a").running()
    pod = make_pod(job).not_ready()
    nodes = {pod.view().uid: Node("node-1", seconds(95), **fate, ready=False)}
    status = status_of("a", decided(job, pod, nodes=nodes))
    assert (status.state, status.failures) == (State.QUEUED, 0)
    assert status.last_attempt is not None
    assert status.last_attempt.reason == Reason.NODE_LOST
    again = make_job("a").failed_once(charged=False)
    assert started(decided(again, pod, nodes=nodes)) == ("a", 2)


def test_a_deadline_before_running_ends_the_job_and_its_pod() -> None:
    job = make_job("a").spec(preRunningDeadlineSeconds=60)
    pod = make_pod(job).waiting("ImagePullBackOff", "no such image")
    assert decided(job, pod, at=10).wake == seconds(60)
    decision = decided(job, pod, at=61)
    assert status_of("a", decision).reason is Reason.PRE_RUNNING_DEADLINE_EXCEEDED
    assert "no such image" in status_of("a", decision).message
    assert deleted(decision) == ["a-1"]


def test_a_running_job_has_no_deadline_before_running() -> None:
    job = make_job("a").spec(preRunningDeadlineSeconds=60).running()
    assert deleted(decided(job, make_pod(job).ready(), at=1000)) == []


def test_the_pod_of_a_finished_job_is_deleted() -> None:
    job = make_job("a").over(State.ERROR)
    assert deleted(decided(job, make_pod(job).ready())) == ["a-1"]


def test_a_finished_job_is_deleted_after_its_ttl() -> None:
    job = make_job("a").spec(ttlSecondsAfterFinished=60).over(at=0)
    assert decided(job, at=59).wake == seconds(60)
    assert [type(action) for action in decided(job, at=60).actions] == [DeleteJob]


@pytest.mark.parametrize("state", [State.DONE, State.STOPPED, State.ERROR])
def test_a_final_state_is_never_written_again(state: State) -> None:
    job = make_job("a").over(state).stop().suspend().spec(dataset=None)
    assert not any(isinstance(a, WriteStatus) for a in decided(job, make_pod(job).exited(1)).actions)


def test_an_invalid_spec_ends_the_job_and_says_where() -> None:
    status = status_of("a", decided(make_job("a").spec(dataset={"uri": "http://x"})))
    assert (status.state, status.reason) == (State.ERROR, Reason.INVALID_SPEC)
    assert "spec.dataset.uri" in status.message


@pytest.mark.parametrize(("field", "fix"), [("storage", "spec.storage.secretRef.name"), ("output", "spec.output.uri")])
def test_missing_storage_ends_the_job_and_says_how_to_fix_it(field: str, fix: str) -> None:
    status = status_of("a", decided(make_job("a").spec(**{field: None})))
    assert (status.state, status.reason) == (State.ERROR, Reason.MISSING_STORAGE)
    assert fix in status.message


def test_defaults_of_the_operator_stand_in_for_missing_storage() -> None:
    settings = Settings(trainer_image="t", default_storage_secret="s", default_output_uri="s3://runs/")
    assert started(decided(make_job("a").spec(storage=None, output=None), settings=settings)) == ("a", 1)


def test_progress_is_written_at_a_bounded_rate_but_a_checkpoint_at_once() -> None:
    job = make_job("a").running()
    pod = make_pod(job).ready()

    def report(iteration: int, heard: float, **more: Any) -> dict[str, Report]:
        progress = Progress(iteration=iteration, max_iterations=100)
        return {pod.view().uid: Report(seconds(heard), TrainerStatus(phase=Phase.TRAINING, progress=progress, **more))}

    first = status_of("a", decided(job, pod, reports=report(1, 100)))
    assert first.progress is not None
    job.raw["status"] = first.model_dump(mode="json", by_alias=True, exclude_none=True)
    too_early = decided(job, pod, reports=report(2, 104), at=104)
    assert (too_early.actions, too_early.wake) == ([], seconds(105)), "written when its time comes, even without more news"
    later = status_of("a", decided(job, pod, reports=report(3, 104), at=105))
    assert later.progress is not None
    assert later.progress.iteration == 3
    checkpoint = {"uri": "s3://runs/c", "iteration": 2}
    assert status_of("a", decided(job, pod, reports=report(2, 101, checkpoint=checkpoint), at=101)).checkpoint is not None


def test_a_node_that_came_back_under_its_name_is_not_lost_for_its_new_pods() -> None:
    job = make_job("a").running(2).failed_once(attempt=1, charged=False).running(2)
    old, new = make_pod(job, 1).not_ready(), make_pod(job, 2).not_ready()
    lost = Node("node-1", seconds(95), exists=False, out_of_service=False, ready=False)
    decision = decided(job, old, new, nodes={old.view().uid: lost})
    assert started(decision) is None
    assert LookAtNode(new.view()) in decision.actions
    assert not any(isinstance(a, WriteStatus) and a.status.last_attempt != job.view().status.last_attempt for a in decision.actions)


def test_a_foreign_pod_with_our_labels_keeps_the_slot_and_is_not_deleted() -> None:
    pod = make_pod(make_job("gone")).ready()
    pod.raw["metadata"]["ownerReferences"][0] |= {"apiVersion": "batch/v1", "kind": "Job"}
    decision = decided(make_job("a"), pod)
    assert (deleted(decision), started(decision)) == ([], None)


def test_a_status_that_cannot_be_read_leaves_the_job_and_its_pod_alone() -> None:
    job = make_job("a").running().status(state="Levitating")
    decision = decided(job, make_pod(job).ready(), make_job("b").created(1))
    assert (deleted(decision), started(decision)) == ([], None)


def test_the_status_names_a_gated_pod_that_a_finalizer_keeps() -> None:
    decision = decided(make_job("a"), make_pod(make_job("old")).gated().deleting())
    assert (deleted(decision), started(decision)) == ([], None)
    status = status_of("a", decision)
    assert status.reason is Reason.WAITING_FOR_POD_TO_END
    assert "pod old-1, which never ran and was deleted, is kept by a finalizer" in status.message


@pytest.mark.parametrize("state", [None, State.DONE], ids=["not over", "over"])
def test_the_pods_of_the_last_three_counted_attempts_are_kept(state: State | None) -> None:
    job = make_job("a").failed_once(attempt=5, next_at=500)
    if state:
        job.over(state)
    pods = [make_pod(job, attempt).exited(1) for attempt in range(1, 6)]
    assert deleted(decided(job, *pods)) == ["a-1", "a-2"]


def test_no_pod_is_deleted_before_its_end_is_counted() -> None:
    job = make_job("a").failed_once(attempt=1).running(5)
    pods = [make_pod(job, attempt).exited(1) for attempt in range(1, 6)]
    assert deleted(decided(job, *pods)) == []


class Counted(tuple[Any, ...]):
    """A tuple that counts how often it is iterated over."""

    times = 0

    def __iter__(self) -> Iterator[Any]:
        self.times += 1
        return super().__iter__()


@pytest.mark.parametrize("number", [10, 300])
def test_a_pass_iterates_over_the_pods_a_few_times_however_many_jobs_there_are(number: int) -> None:
    jobs = [make_job(f"j{n:03}").created(n) for n in range(number)]
    over = [job.over() for job in jobs[: number // 2]]
    pods = Counted(make_pod(job).exited(0).view() for job in over)
    decide(View(ProjectKey("ns", "p"), tuple(job.view() for job in jobs), pods), SETTINGS, seconds(1000))
    assert pods.times <= 4
