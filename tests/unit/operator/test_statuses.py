"""What a status says."""

import dataclasses

import pytest

from headrace_api.names import Reason, State
from headrace_api.report import Outcome, Phase, TrainerStatus, Verdict
from headrace_api.trainingjob import Checkpoint, MetricValue, Progress, TrainingJobStatus
from headrace_operator import statuses
from headrace_operator.attempts import Judgement
from headrace_operator.settings import Settings
from headrace_operator.state import Report
from headrace_testing.builders import JobBuilder, PodBuilder, make_job, make_pod, seconds

SETTINGS = Settings(trainer_image="trainer:1")


def live(job: JobBuilder, pod: PodBuilder, at: float = 100) -> TrainingJobStatus:
    return statuses.live(job.view(), pod.view(), report=None, unreachable=False, now=seconds(at), settings=SETTINGS)


JOB = make_job("a")


AP = MetricValue(head="boxes", name="AP", value=0.5, iteration=9000)
REACHED = TrainingJobStatus(
    state=State.RUNNING,
    progress=Progress(iteration=9500, max_iterations=20_000, percentage=47, metrics=[AP]),
    checkpoint=Checkpoint(uri="s3://runs/a/checkpoints/00009000/", iteration=9000),
)


def resumed(iteration: int, metrics: list[MetricValue]) -> Progress:
    """The progress shown for a job that had REACHED this much, when its next attempt reports this."""
    job = dataclasses.replace(make_job("a").view(), status=REACHED)
    told = Progress(iteration=iteration, max_iterations=20_000, metrics=metrics)
    report = Report(seconds(90), TrainerStatus(phase=Phase.PULLING, progress=told))
    pod = make_pod(make_job("a")).scheduled("n").view()
    progress = statuses.live(job, pod, report=report, unreachable=False, now=seconds(100), settings=SETTINGS).progress
    assert progress is not None
    return progress


def test_progress_does_not_fall_back_while_a_resumed_attempt_pulls_its_checkpoint() -> None:
    progress = resumed(0, [])
    assert (progress.iteration, progress.percentage, progress.metrics) == (9500, 47, [AP])


def test_a_resumed_attempt_shows_its_own_progress_from_the_checkpoint_on_and_the_scores_it_began_with() -> None:
    progress = resumed(9001, [])
    assert (progress.iteration, progress.metrics) == (9001, [AP])


def test_new_scores_replace_old_ones() -> None:
    better = AP.model_copy(update={"value": 0.6, "iteration": 10_000})
    assert resumed(10_000, [better]).metrics == [better]


def test_an_attempt_that_ends_before_it_resumed_leaves_what_was_reached() -> None:
    job = dataclasses.replace(make_job("a").view(), status=REACHED)
    outcome = Outcome(outcome=Verdict.ERROR, reason=Reason.STORAGE_UNAVAILABLE, progress=Progress())
    judged = Judgement("StorageUnavailable", "no answer", charged=True, outcome=outcome)
    status = statuses.after_attempt(job, None, 2, judged, now=seconds(100), settings=SETTINGS)
    assert status.progress is not None
    assert (status.progress.iteration, status.progress.metrics) == (9500, [AP])


@pytest.mark.parametrize(
    ("pod", "state", "reason", "message"),
    [
        (make_pod(JOB), State.QUEUED, Reason.WAITING_FOR_RUNNER, "waiting for a runner"),
        (make_pod(JOB).unschedulable("no GPU left"), State.QUEUED, Reason.WAITING_FOR_RUNNER, "no GPU left"),
        (make_pod(JOB).scheduled("gpu-07"), State.STARTING, Reason.PREPARING, "on node gpu-07"),
        (
            make_pod(JOB).waiting("ErrImagePull", "no image"),
            State.STARTING,
            Reason.IMAGE_PULL_FAILED,
            "ErrImagePull: no image",
        ),
        (
            make_pod(JOB).waiting("CreateContainerConfigError", 'secret "x" not found'),
            State.STARTING,
            Reason.CONTAINER_CONFIG_FAILED,
            'CreateContainerConfigError: secret "x" not found',
        ),
        (make_pod(JOB).waiting("ContainerCreating"), State.STARTING, Reason.PREPARING, "on node node-1"),
        (make_pod(JOB).ready(), State.RUNNING, Reason.TRAINING, ""),
    ],
)
def test_states_follow_from_the_pod(pod: PodBuilder, state: State, reason: Reason, message: str) -> None:
    status = live(JOB, pod)
    assert (status.state, status.reason, status.message) == (state, reason, message)


def test_a_first_attempt_leaves_its_traces() -> None:
    status = live(JOB, make_pod(JOB).ready(), at=7)
    assert (status.attempts, status.restarts, status.pod, status.node) == (1, 0, "a-1", "node-1")
    assert status.start_time == "2026-01-01T00:00:00.000Z"
    assert status.running_time == "2026-01-01T00:00:07.000Z"
    assert status.output == f"s3://runs/ns/p/a-{JOB.raw['metadata']['uid'][:8]}/"


def test_the_first_running_time_stays() -> None:
    job = make_job("a").status(runningTime="2026-01-01T00:00:01.000Z")
    assert live(job, make_pod(job, 2).ready()).running_time == "2026-01-01T00:00:01.000Z"
    assert live(job, make_pod(job, 2).ready()).restarts == 1


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    job = make_job("a")
    first = live(job, make_pod(job).ready(), at=5)
    job.raw["status"] = first.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert live(job, make_pod(job).ready(), at=50).conditions == first.conditions
    over = statuses.after_attempt(
        job.view(),
        make_pod(job).view(),
        1,
        Judgement("x", "y", final=State.DONE, final_reason=Reason.REACHED_MAX_ITERATIONS),
        now=seconds(60),
        settings=SETTINGS,
    )
    conditions = {condition.type: condition for condition in over.conditions}
    assert conditions["Running"].status == "False"
    assert conditions["Running"].last_transition_time == "2026-01-01T00:01:00.000Z"
    assert conditions["Scheduled"].last_transition_time == "2026-01-01T00:00:05.000Z"
    assert conditions["Succeeded"].status == "True"


def test_messages_fit_the_schema() -> None:
    assert len(live(JOB, make_pod(JOB).unschedulable("x" * 10_000)).message) == statuses.MESSAGE_LENGTH
    pod = make_pod(JOB).ended(Verdict.ERROR, Reason.BAD_DATASET, 2, "y" * 3000)
    status = statuses.after_attempt(
        JOB.view(), pod.view(), 1, Judgement("r", "y" * 9000, charged=True, pause=1), now=seconds(1), settings=SETTINGS
    )
    assert len(status.message) <= statuses.MESSAGE_LENGTH
    assert status.last_attempt is not None
    assert len(status.last_attempt.message) <= statuses.MESSAGE_LENGTH


@pytest.mark.parametrize(
    ("ahead", "want"), [(1, "2nd"), (2, "3rd"), (3, "4th"), (10, "11th"), (11, "12th"), (20, "21st"), (110, "111th")]
)
def test_places_in_line(ahead: int, want: str) -> None:
    jobs = [make_job(f"j{number}").view() for number in range(ahead)]
    assert statuses.behind(jobs).endswith(f"({want} in line)")
