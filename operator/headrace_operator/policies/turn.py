"""Gives the slot to the first job in line once no pod holds it; the others' status says what they are waiting for."""

from collections.abc import Sequence

from headrace_api.names import Reason
from headrace_operator import statuses
from headrace_operator.clock import parse_timestamp
from headrace_operator.decision import Decision, Needs, StartAttempt, write
from headrace_operator.policies.situation import Situation
from headrace_operator.state import Job


def give(situation: Situation, job: Job, ahead: Sequence[Job]) -> Decision:
    """Starts a job in line, or writes what it is waiting for. Does nothing for a job whose pod holds the slot."""
    if situation.slot_pods_of(job):
        return Decision()
    if ahead:
        return _wait(job, Reason.WAITING_FOR_EARLIER_JOB, statuses.behind(ahead))
    due = parse_timestamp(job.status.next_attempt_time) if job.status.next_attempt_time is not None else None
    if due is not None and situation.now < due:
        waiting = statuses.queued(job, Reason.WAITING_FOR_RETRY, statuses.retry_message(job))
        return Decision(write(job, waiting), wake=due)
    if situation.taken_by:
        pods = ", ".join(pod.name for pod in situation.taken_by)
        return _wait(job, Reason.WAITING_FOR_POD_TO_END, f"first in line; waiting for pod {pods} to end")
    return _start(situation, job)


def _start(situation: Situation, job: Job) -> Decision:
    """The slot is free. An unfinished start may have left a gated pod, which must be gone first."""
    gated = [pod for pod in situation.view.pods if pod.gated]
    if stuck := ", ".join(pod.name for pod in gated if pod.deleting):
        # A gated pod has no kubelet: unless a finalizer keeps it, it is gone as soon as it is deleted.
        message = f"first in line; pod {stuck}, which never ran and was deleted, is kept by a finalizer: remove the finalizer"
        return _wait(job, Reason.WAITING_FOR_POD_TO_END, message)
    if gated:
        return Decision()
    return Decision([StartAttempt(job, job.status.attempts + 1)], needs=Needs(jobs=True))


def _wait(job: Job, reason: Reason, message: str) -> Decision:
    return Decision(write(job, statuses.queued(job, reason, message)))
