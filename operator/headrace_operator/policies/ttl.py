"""spec.ttlSecondsAfterFinished: a job is deleted this many seconds after its end."""

from headrace_operator.clock import parse_timestamp
from headrace_operator.decision import Decision, DeleteJob
from headrace_operator.policies.situation import Situation
from headrace_operator.state import Job, later


def expire(situation: Situation, job: Job) -> Decision:
    """Deletes a finished job once its time to live has passed, or asks to be woken then."""
    ttl = job.spec.ttl_seconds_after_finished if job.spec else None
    if ttl is None or job.deleting or job.status.completion_time is None:
        return Decision()
    end = later(parse_timestamp(job.status.completion_time), ttl)
    return Decision([DeleteJob(job)]) if situation.now >= end else Decision(wake=end)
