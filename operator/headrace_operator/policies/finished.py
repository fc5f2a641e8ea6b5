"""A job that is over."""

from headrace_operator.decision import Decision, together
from headrace_operator.policies import ttl
from headrace_operator.policies.situation import Situation
from headrace_operator.state import Job


def settle(situation: Situation, job: Job) -> Decision:
    """Ends pods that the job still has, and deletes it when its time to live is over."""
    pods = situation.end_pods(job, f"its TrainingJob is {job.status.state}")
    return together([Decision(pods), ttl.expire(situation, job)])
