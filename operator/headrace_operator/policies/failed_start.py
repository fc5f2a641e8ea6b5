"""Handles a failed start: what the job's status says, and when to try again."""

from dataclasses import dataclass
from datetime import datetime

from headrace_api.names import Reason, State
from headrace_operator import statuses
from headrace_operator.decision import Decision, DeletePod, StartAttempt, write
from headrace_operator.state import Job, Pod, later

REFUSED_SECONDS = 10
"""Pause before retrying a start that was refused (a quota, a policy, a missing permission)."""
IN_THE_WAY_SECONDS = 5
"""Pause before retrying a start whose pod's name is taken."""
OUTRUN_SECONDS = 1
"""Pause after another start took the slot first."""
SEEN_SOON_SECONDS = 0.5
"""Pause after another operator created the same pod: its watch event is on its way."""
NAME_FREED_SECONDS = 0.1
"""Pause after the pod with that name turned out to be gone."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The API server refused the slot's Lease or the pod: a quota, a policy, a missing permission."""

    error: str


@dataclass(frozen=True, slots=True)
class RefusedForGood:
    """The API server rejected the pod as invalid: it will never accept it."""

    error: str


@dataclass(frozen=True, slots=True)
class NameTaken:
    """A pod of this name already exists; None if it is gone by now."""

    pod: Pod | None


@dataclass(frozen=True, slots=True)
class SlotLost:
    """Another start took the slot after this one had created its pod, which is still gated."""

    pod: Pod


Obstacle = Refused | RefusedForGood | NameTaken | SlotLost


def after_failed_start(start: StartAttempt, obstacle: Obstacle, now: datetime) -> Decision:
    """Decides what to do about a start that met an obstacle."""
    job = start.job
    match obstacle:
        case Refused(error):
            message = f"the start was refused; retrying every {REFUSED_SECONDS} s: {error}"
            return _tell(job, Reason.POD_REFUSED, message, later(now, REFUSED_SECONDS))
        case RefusedForGood(error):
            message = f"the API server rejects the pod as invalid: {error}"
            ended = statuses.final(job, job.status, State.ERROR, Reason.POD_REFUSED, message=message, now=now)
            return Decision(write(job, ended), wake=now)
        case NameTaken(pod):
            return _after_name_taken(job, pod, now)
        case SlotLost(pod):
            return Decision([DeletePod(pod, "another start took the slot first")], wake=later(now, OUTRUN_SECONDS))


def _after_name_taken(job: Job, pod: Pod | None, now: datetime) -> Decision:
    """A pod of this name exists, although the project had no live pod: does it belong to this job or to another owner?"""
    if pod is None:
        return Decision(wake=later(now, NAME_FREED_SECONDS))
    if pod.owner_uid == job.uid and pod.ours:
        return Decision(wake=later(now, SEEN_SOON_SECONDS))
    if pod.owner_uid == job.uid:
        owner = "that lost its Headrace labels"
    else:
        owner = f"of an earlier job of this name (project {pod.project})" if pod.project else "that is not Headrace's"
    message = f"pod {pod.name} {owner} is in the way; retrying once it is gone: delete it if nothing needs it"
    return _tell(job, Reason.WAITING_FOR_POD_TO_END, message, later(now, IN_THE_WAY_SECONDS))


def _tell(job: Job, reason: Reason, message: str, wake: datetime) -> Decision:
    return Decision(write(job, statuses.queued(job, reason, message)), wake=wake)
