"""A start that came to nothing: what its job is told, and when it is tried again."""

from dataclasses import dataclass
from datetime import datetime

from headrace_api.names import Reason, State
from headrace_operator import statuses
from headrace_operator.decision import Decision, DeletePod, StartAttempt, write
from headrace_operator.state import Job, Pod, later

REFUSED_SECONDS = 10
"""Pause before a start that was refused (a quota, a policy, a missing permission) is tried again."""
IN_THE_WAY_SECONDS = 5
"""Pause before a start is tried again whose pod's name is taken."""
OUTRUN_SECONDS = 1
"""Pause after another start took the slot meanwhile."""
SEEN_SOON_SECONDS = 0.5
"""Pause after another operator made the same pod: its watch event is on its way."""
NAME_FREED_SECONDS = 0.1
"""Pause after the pod that had the name turned out to be gone."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The API server refuses the slot's Lease or the pod: a quota, a policy, a missing permission."""

    error: str


@dataclass(frozen=True, slots=True)
class RefusedForGood:
    """The API server calls the pod invalid: it will never take it."""

    error: str


@dataclass(frozen=True, slots=True)
class NameTaken:
    """There is a pod of this name already; None: there was, and it is gone."""

    pod: Pod | None


@dataclass(frozen=True, slots=True)
class SlotLost:
    """Another start took the slot after this one had made its pod, which is still gated."""

    pod: Pod


Obstacle = Refused | RefusedForGood | NameTaken | SlotLost


def after_failed_start(start: StartAttempt, obstacle: Obstacle, now: datetime) -> Decision:
    """What to do about a start that met an obstacle."""
    job = start.job
    match obstacle:
        case Refused(error):
            message = f"the start was refused, tried again every {REFUSED_SECONDS} s: {error}"
            return _tell(job, Reason.POD_REFUSED, message, later(now, REFUSED_SECONDS))
        case RefusedForGood(error):
            message = f"the API server refuses the pod for good: {error}"
            ended = statuses.final(job, job.status, State.ERROR, Reason.POD_REFUSED, message=message, now=now)
            return Decision(write(job, ended), wake=now)
        case NameTaken(pod):
            return _after_name_taken(job, pod, now)
        case SlotLost(pod):
            return Decision([DeletePod(pod, "another start took the slot meanwhile")], wake=later(now, OUTRUN_SECONDS))


def _after_name_taken(job: Job, pod: Pod | None, now: datetime) -> Decision:
    """A pod of this name is there, though no live pod of the project was: of this job, or of another owner?"""
    if pod is None:
        return Decision(wake=later(now, NAME_FREED_SECONDS))
    if pod.owner_uid == job.uid and pod.ours:
        return Decision(wake=later(now, SEEN_SOON_SECONDS))
    if pod.owner_uid == job.uid:
        owner = "that lost its Headrace labels"
    else:
        owner = f"of an earlier job of this name (project {pod.project})" if pod.project else "that is not Headrace's"
    message = f"pod {pod.name} {owner} is in the way; tried again when it is gone: delete it, if it is of no use"
    return _tell(job, Reason.WAITING_FOR_POD_TO_END, message, later(now, IN_THE_WAY_SECONDS))


def _tell(job: Job, reason: Reason, message: str, wake: datetime) -> Decision:
    return Decision(write(job, statuses.queued(job, reason, message)), wake=wake)
