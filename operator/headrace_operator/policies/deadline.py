"""spec.preRunningDeadlineSeconds: an attempt that is not Running in time is the job's last."""

from datetime import datetime

from headrace_api.names import Reason, State
from headrace_api.trainingjob import TrainingJobStatus
from headrace_operator import statuses
from headrace_operator.decision import Decision, DeletePod, write
from headrace_operator.policies.situation import Situation
from headrace_operator.state import Job, Pod, later


def due(job: Job, pod: Pod, status: TrainingJobStatus) -> datetime | None:
    """When the attempt must be Running at the latest; None if there is no limit, it is Running, or its pod is being deleted."""
    limit = job.spec.pre_running_deadline_seconds if job.spec else None
    if limit is None or status.state is State.RUNNING or pod.deleting:
        return None
    return later(pod.created, limit)


def miss(situation: Situation, job: Job, pod: Pod, status: TrainingJobStatus) -> Decision:
    """Ends the job, with the attempt's last status in the message, and deletes its pod."""
    limit = job.spec.pre_running_deadline_seconds if job.spec else None
    was = status.message or status.reason
    message = f"not Running {limit} s after pod {pod.name} was created (preRunningDeadlineSeconds); last status: {was}"
    reason = Reason.PRE_RUNNING_DEADLINE_EXCEEDED
    ended = statuses.final(job, status, State.ERROR, reason, message=message, now=situation.now)
    return Decision([*write(job, ended), DeletePod(pod, message)])
