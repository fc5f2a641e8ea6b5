"""Computes a job's status: pure functions from the known state to the next `TrainingJobStatus`."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from headrace_api.first_few import first_few
from headrace_api.names import Condition, Reason, State
from headrace_api.report import TrainerStatus
from headrace_api.runfolder import run_folder
from headrace_api.trainingjob import ConditionStatus, LastAttempt, Progress, TrainingJobStatus
from headrace_operator.attempts import Judgement
from headrace_operator.clock import parse_timestamp, timestamp
from headrace_operator.settings import Settings
from headrace_operator.state import Job, Pod, Report, later

MESSAGE_LENGTH = 4096
"""The schema's limit on messages."""
NAMED_IN_LINE = 5
"""How many jobs ahead a waiting job's message names."""
IMAGE_PULL_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError"}
)
CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
"""A kubelet's reasons for a waiting container (pkg/kubelet/images/types.go, pkg/kubelet/container/sync_result.go)."""


def changed(status: TrainingJobStatus, **fields: Any) -> TrainingJobStatus:
    """The status with some fields changed; messages are cut to the schema's limit."""
    if len(fields.get("message", "")) > MESSAGE_LENGTH:
        fields["message"] = fields["message"][: MESSAGE_LENGTH - 1] + "…"
    return status.model_copy(update=fields)


def queued(job: Job, reason: Reason, message: str) -> TrainingJobStatus:
    """The job waits for the given reason; keeps the results of earlier attempts."""
    return changed(
        job.status,
        state=State.QUEUED,
        reason=reason,
        message=message[:MESSAGE_LENGTH],
        observed_generation=job.generation,
        next_attempt_time=job.status.next_attempt_time if reason == Reason.WAITING_FOR_RETRY else None,
    )


def behind(ahead: Sequence[Job]) -> str:
    """`behind street-1, street-2 (3rd in line)`."""
    return f"behind {first_few((job.name for job in ahead), NAMED_IN_LINE)} ({_ordinal(len(ahead) + 1)} in line)"


def _ordinal(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def was_running(job: Job, pod: Pod) -> bool:
    """Whether this pod's attempt was Running when the status was last written."""
    return job.status.state is State.RUNNING and job.status.pod == pod.name


def live(job: Job, pod: Pod, *, report: Report | None, unreachable: bool, now: datetime, settings: Settings) -> TrainingJobStatus:
    """The status of a job with a pod that is not over."""
    old = job.status
    report = report and _with_what_was_reached(old, report)
    told = report.status if report and _worth_writing(old, report, settings, now) else None
    state, reason, message = _stage(job, pod, told)
    if unreachable:
        reason = Reason.NODE_LOST
        message = (
            f"node {pod.node} does not answer; the slot stays taken until the node is deleted or tainted out-of-service, "
            f"or pod {pod.name} is force-deleted"
        )
    elif job.spec is not None and job.spec.stop:
        reason, message = Reason.STOPPING, "stopped by the user: checkpointing before it ends"
    elif job.spec is not None and job.spec.suspend:
        reason, message = Reason.SUSPENDING, "suspended by the user: checkpointing before it releases the GPU"
    elif pod.deleting:
        reason, message = Reason.STOPPING, f"pod {pod.name} is being deleted; another attempt follows"
    started = old.start_time or timestamp(pod.created)
    running_time = old.running_time or (timestamp(now) if state is State.RUNNING else None)
    status = changed(
        old,
        state=state,
        reason=reason,
        message=message,
        observed_generation=job.generation,
        attempts=pod.attempt,
        restarts=pod.attempt - 1,
        next_attempt_time=None,
        pod=pod.name,
        node=pod.node or None,
        start_time=started,
        running_time=running_time,
        output=old.output or output_of(job, settings),
        conditions=_conditions(
            old,
            job,
            now,
            {
                Condition.SCHEDULED: (pod.scheduled, "Scheduled" if pod.scheduled else "Unscheduled", pod.unscheduled_message),
                Condition.RUNNING: (state is State.RUNNING, reason, message),
                Condition.STOPPING: (pod.deleting or reason in (Reason.STOPPING, Reason.SUSPENDING), reason, message),
            },
        ),
    )
    if report is None or told is None:
        return status
    progress = told.progress.model_copy(update={"last_updated_time": timestamp(report.heard)})
    return changed(status, progress=progress, checkpoint=told.checkpoint or status.checkpoint)


def _stage(job: Job, pod: Pod, told: TrainerStatus | None) -> tuple[State, Reason, str]:
    """The attempt's stage, which never goes back from Running. Without news from the trainer, its last message stays."""
    old = job.status

    def words(state: State, reason: Reason, otherwise: str) -> tuple[State, Reason, str]:
        if told is not None:
            return state, reason, told.message or otherwise
        return state, reason, old.message if (old.reason, old.pod) == (reason, pod.name) else otherwise

    if not pod.scheduled:
        return State.QUEUED, Reason.WAITING_FOR_RUNNER, pod.unscheduled_message or "waiting for a runner"
    if pod.ready or was_running(job, pod):
        return words(State.RUNNING, Reason.TRAINING, "")
    if pod.waiting_reason in IMAGE_PULL_REASONS:
        return State.STARTING, Reason.IMAGE_PULL_FAILED, f"{pod.waiting_reason}: {pod.waiting_message}"
    if pod.waiting_reason in CONFIG_REASONS:
        return State.STARTING, Reason.CONTAINER_CONFIG_FAILED, f"{pod.waiting_reason}: {pod.waiting_message}"
    return words(State.STARTING, Reason.PREPARING, f"on node {pod.node}")


def _with_what_was_reached(old: TrainingJobStatus, report: Report) -> Report:
    progress = _never_back(old, report.status.progress)
    return dataclasses.replace(report, status=report.status.model_copy(update={"progress": progress}))


def _never_back(old: TrainingJobStatus, new: Progress) -> Progress:
    """Keeps earlier progress: a resumed trainer counts from 0 until it has its checkpoint, and has no scores until it evaluates."""
    had, safe = old.progress, old.checkpoint.iteration if old.checkpoint else 0
    if had is None:
        return new
    if new.iteration < safe:
        return had.model_copy(update={"last_updated_time": new.last_updated_time or had.last_updated_time})
    return new if new.metrics else new.model_copy(update={"metrics": had.metrics, "score": had.score})


def _worth_writing(old: TrainingJobStatus, report: Report, settings: Settings, now: datetime) -> bool:
    """Whether to write a report into the status: scores and checkpoints immediately, anything else at a limited rate."""
    told, had = report.status, old.progress
    if had is None or had.last_updated_time is None:
        return True
    if had.metrics != told.progress.metrics or (told.checkpoint is not None and told.checkpoint != old.checkpoint):
        return True
    due = progress_due(old, report, settings)
    return due is not None and now >= due


def progress_due(old: TrainingJobStatus, report: Report, settings: Settings) -> datetime | None:
    """When the report may be written into the status; None if it has no news, or nothing was written yet."""
    told, had = _with_what_was_reached(old, report).status, old.progress
    if had is None or had.last_updated_time is None:
        return None
    if told.message == old.message and _same_but_time(had, told.progress):
        return None
    return later(parse_timestamp(had.last_updated_time), settings.progress_write)


def _same_but_time(old: Progress, new: Progress) -> bool:
    return old.model_copy(update={"last_updated_time": None}) == new.model_copy(update={"last_updated_time": None})


def after_attempt(
    job: Job, pod: Pod | None, attempt: int, judged: Judgement, *, now: datetime, settings: Settings
) -> TrainingJobStatus:
    """Counts a judged attempt, exactly once; the job then ends or waits for its next attempt."""
    old, outcome = job.status, judged.outcome
    finished = (pod.exit_time if pod else None) or now
    failures = old.failures + int(judged.charged)
    last = LastAttempt(
        number=attempt,
        exit_code=judged.exit_code,
        reason=judged.reason,
        message=judged.message[:MESSAGE_LENGTH],
        charged=judged.charged,
        finished_time=timestamp(finished),
    )
    progress = old.progress
    if outcome:
        progress = _never_back(old, outcome.progress).model_copy(update={"last_updated_time": timestamp(finished)})
    status = changed(
        old,
        attempts=attempt,
        restarts=attempt - 1,
        failures=failures,
        last_attempt=last,
        pod=pod.name if pod else old.pod,
        node=(pod.node if pod else "") or old.node,
        start_time=old.start_time or (timestamp(pod.created) if pod else None),
        progress=progress,
        checkpoint=(outcome.checkpoint if outcome else None) or old.checkpoint,
        output=old.output or output_of(job, settings),
    )
    if judged.final is not None:
        return final(job, status, judged.final, judged.final_reason, message=_last_words(judged, attempt, status), now=now)
    if job.spec is not None and job.spec.suspend:
        reason, message, due = Reason.SUSPENDED, SUSPENDED, None
    else:
        due = timestamp(later(now, judged.pause)) if judged.pause else None
        reason, message = Reason.WAITING_FOR_RETRY, _retry_message(last, due)
    return changed(
        status,
        state=State.QUEUED,
        reason=reason,
        message=message,
        observed_generation=job.generation,
        next_attempt_time=due,
        conditions=_conditions(
            status,
            job,
            now,
            {
                Condition.SCHEDULED: (False, reason, message),
                Condition.RUNNING: (False, reason, message),
                Condition.STOPPING: (False, reason, message),
            },
        ),
    )


def retry_message(job: Job) -> str:
    """The message of a job that waits before a retry."""
    last = job.status.last_attempt
    return _retry_message(last, job.status.next_attempt_time) if last else ""


def _retry_message(last: LastAttempt, due: str | None) -> str:
    when = f"at {due[:19]}Z" if due else "follows"
    return f"attempt {last.number} ended: {last.message[: MESSAGE_LENGTH // 2]}; attempt {last.number + 1} {when}"


SUSPENDED = "suspended by the user (spec.suspend); later jobs of the project can run in the meantime"


def _last_words(judged: Judgement, attempt: int, status: TrainingJobStatus) -> str:
    """The message of a job that is over: what happened and, after an error, where the log is."""
    if judged.final is State.STOPPED:
        at = f" at iteration {status.progress.iteration}" if status.progress else ""
        kept = f"; checkpoint: {status.checkpoint.uri}" if status.checkpoint else "; no checkpoint was saved"
        return f"{judged.message}{at}{kept}"
    if judged.final is State.ERROR:
        prefix = f"attempt {attempt} was the last ({status.failures} failures): " if judged.charged else ""
        where = f"; log: {status.output}attempts/{attempt}/" if status.output else ""
        return f"{prefix}{judged.message}{where}"
    return judged.message or _reached(judged, status)


def _reached(judged: Judgement, status: TrainingJobStatus) -> str:
    """What a Done job achieved."""
    if status.progress is None:
        return ""
    done = f"reached {status.progress.iteration:,} iterations"
    if judged.final_reason == Reason.REACHED_MAX_TRAINING_HOURS:
        done = f"used up its training time at iteration {status.progress.iteration:,}"
    return done


def final(
    job: Job, status: TrainingJobStatus, state: State, reason: Reason | None, *, message: str, now: datetime
) -> TrainingJobStatus:
    """The status of a job that is over."""
    why = reason or ""
    return changed(
        status,
        state=state,
        reason=reason,
        message=message,
        observed_generation=job.generation,
        next_attempt_time=None,
        completion_time=timestamp(now),
        conditions=_conditions(
            status,
            job,
            now,
            {
                Condition.RUNNING: (False, why, ""),
                Condition.STOPPING: (False, why, ""),
                Condition.SUCCEEDED: (state is State.DONE, why, message),
            },
        ),
    )


def _conditions(
    status: TrainingJobStatus, job: Job, now: datetime, wanted: dict[Condition, tuple[bool, str, str]]
) -> list[ConditionStatus]:
    """The status's conditions with some changed; a condition's time changes only with its status.

    Scheduled, Running and Stopping appear when they first become true: a job that never ran has no Running=False.
    """
    conditions = {condition.type: condition for condition in status.conditions}
    for kind, (holds, reason, message) in wanted.items():
        old = conditions.get(kind)
        if old is None and not holds and kind is not Condition.SUCCEEDED:
            continue
        if old is not None and (old.status == "True") == holds:
            continue
        conditions[kind] = ConditionStatus(
            type=kind,
            status="True" if holds else "False",
            reason=reason or str(kind),
            message=message[:MESSAGE_LENGTH],
            last_transition_time=timestamp(now),
            observed_generation=job.generation,
        )
    return list(conditions.values())


def output_of(job: Job, settings: Settings) -> str | None:
    """The job's run folder; None if neither the job nor the operator sets an output."""
    uri = job.spec.output.uri if job.spec and job.spec.output else settings.default_output_uri
    return run_folder(uri, job.namespace, job.project, job.name, job.uid) if uri else None
