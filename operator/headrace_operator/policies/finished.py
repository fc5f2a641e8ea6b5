"""Cleans up after a job that is over."""

from headrace_operator.decision import Decision, together
from headrace_operator.policies import ttl
from headrace_operator.policies.situation import Situation
from headrace_operator.state import Job


def settle(situation: Situation, job: Job) -> Decision:
    """Deletes pods that the job still runs, and the job itself when its time to live has passed."""
    pods = situation.end_pods(job, f"its TrainingJob is {job.status.state}")
    return together([Decision(pods), ttl.expire(situation, job)])
