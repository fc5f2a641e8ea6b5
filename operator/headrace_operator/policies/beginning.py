"""Checks whether a job without a current attempt may start one."""

from headrace_api.names import Reason, State
from headrace_api.trainingjob import TrainingJobSpec, TrainingJobStatus
from headrace_operator import statuses
from headrace_operator.decision import Decision, write
from headrace_operator.policies.situation import Situation
from headrace_operator.policies.standing import Standing
from headrace_operator.settings import Settings
from headrace_operator.state import Job


def stand(situation: Situation, job: Job, *, attempts: int) -> Standing:
    """The job is in line unless it ends here or is suspended. `attempts` is how many it has had."""
    status = _reason_not_to(situation, job, attempts)
    return Standing(Decision(), in_line=True) if status is None else Standing(Decision(write(job, status)), in_line=False)


def _reason_not_to(situation: Situation, job: Job, attempts: int) -> TrainingJobStatus | None:
    """The status of a job that must not start an attempt; None if it may."""

    def end(state: State, reason: Reason, message: str) -> TrainingJobStatus:
        return statuses.final(job, job.status, state, reason, message=message, now=situation.now)

    if job.spec is None:
        return end(State.ERROR, Reason.INVALID_SPEC, job.invalid)
    if job.spec.stop:
        went = "resumed" if attempts else "started"
        return end(State.STOPPED, Reason.STOPPED_BY_USER, f"stopped by the user before it {went}")
    if missing := _missing(job.spec, situation.settings):
        return end(State.ERROR, Reason.MISSING_STORAGE, missing)
    if job.spec.suspend:
        return statuses.queued(job, Reason.SUSPENDED, statuses.SUSPENDED)
    return None


def _missing(spec: TrainingJobSpec, settings: Settings) -> str:
    """What the job lacks in storage or output, and the fix; empty if nothing is missing."""
    if spec.storage is None and settings.default_storage_secret is None:
        return "spec.storage is missing and the operator has no default: set spec.storage.secretRef.name to a Secret with its keys"
    if spec.output is None and settings.default_output_uri is None:
        return "spec.output is missing and the operator has no default: set spec.output.uri to the s3:// folder for run folders"
    return ""
