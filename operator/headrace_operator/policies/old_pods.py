"""Deletes pods of old attempts, keeping the last few for `kubectl logs`."""

from headrace_operator.decision import Decision, DeletePod
from headrace_operator.policies.situation import Situation
from headrace_operator.state import Job

KEPT_PODS = 3
"""Pods of a job's counted attempts that are kept for `kubectl logs`; older ones only take up space in etcd."""


def clear(situation: Situation, job: Job) -> Decision:
    """Deletes the oldest ended pods, but only those whose end is recorded in the status."""
    ended = [pod for pod in situation.pods_of(job) if pod.ours and pod.over and pod.attempt <= job.counted]
    old = sorted(ended, key=lambda pod: pod.attempt)[:-KEPT_PODS]
    return Decision([DeletePod(pod, f"older than the last {KEPT_PODS} attempts") for pod in old if not pod.deleting])
