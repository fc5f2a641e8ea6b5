"""The result of `decide`: the actions to carry out, when to look again, and what must be listed live first."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from headrace_api.names import Reason
from headrace_api.trainingjob import TrainingJobStatus
from headrace_operator.state import Job, Pod


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the job's status."""

    job: Job
    status: TrainingJobStatus

    @property
    def only_renews_waiting(self) -> bool:
        """Whether only the jobs that this one is behind change: such writes are rationed."""
        old, new = self.job.status, self.status
        waits = (Reason.WAITING_FOR_EARLIER_JOB, Reason.WAITING_FOR_POD_TO_END)
        return old.reason in waits and new.reason in waits and new.observed_generation == old.observed_generation


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Take the slot for the job and create the pod of this attempt."""

    job: Job
    attempt: int


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod with its grace period."""

    pod: Pod
    why: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete a TrainingJob whose time to live after its end has passed."""

    job: Job


@dataclass(frozen=True, slots=True)
class LookAtNode:
    """Find out whether a pod's node still exists."""

    pod: Pod


Action = WriteStatus | StartAttempt | DeletePod | DeleteJob | LookAtNode


class Needs(NamedTuple):
    """Which live LISTs a decision must be based on before it is carried out: a watch may lag behind, a LIST never does."""

    jobs: bool = False
    pods: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Actions in order; when to look again at the latest; what must be listed live first."""

    actions: list[Action] = field(default_factory=list)
    wake: datetime | None = None
    needs: Needs = field(default_factory=Needs)

    def start(self) -> StartAttempt | None:
        """The start among the actions, if any; there is at most one."""
        return next((action for action in self.actions if isinstance(action, StartAttempt)), None)

    def writes_status(self) -> bool:
        """Whether the actions include a status write."""
        return any(isinstance(action, WriteStatus) for action in self.actions)


def together(parts: Iterable[Decision]) -> Decision:
    """Merges decisions: all actions in order, the earliest wake-up, everything that any of them needs."""
    parts = list(parts)
    return Decision(
        actions=[action for part in parts for action in part.actions],
        wake=earliest(*(part.wake for part in parts)),
        needs=Needs(jobs=any(part.needs.jobs for part in parts), pods=any(part.needs.pods for part in parts)),
    )


def earliest(*moments: datetime | None) -> datetime | None:
    """The earliest of some moments; None if there are none."""
    return min((moment for moment in moments if moment is not None), default=None)


def write(job: Job, status: TrainingJobStatus) -> list[Action]:
    """The write that brings the job to this status; empty if the job already has it."""
    return [WriteStatus(job, status)] if status != job.status else []
