"""What the policies look at: the view of the project, with the settings and the time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headrace_operator.decision import Action, DeletePod
from headrace_operator.settings import Settings
from headrace_operator.state import Job, Pod, View


@dataclass(frozen=True, slots=True)
class Situation:
    """One project at one moment."""

    view: View
    settings: Settings
    now: datetime
    taken_by: tuple[Pod, ...]
    """Pods that hold the slot, of whatever job, one that is gone included."""

    def pods_of(self, job: Job) -> Sequence[Pod]:
        """The job's pods, gated ones included."""
        return [pod for pod in self.view.pods if pod.owner_uid == job.uid]

    def owner_of(self, pod: Pod) -> Job | None:
        """The job that the pod belongs to; None when it is gone."""
        return next((job for job in self.view.jobs if job.uid == pod.owner_uid), None)

    def holds_slot(self, job: Job) -> bool:
        """Whether a pod of the job may be running."""
        return any(pod.owner_uid == job.uid for pod in self.taken_by)

    def end_pods(self, job: Job, why: str) -> list[Action]:
        """The deletions of the pods that the job still runs, but for those that were told to end already."""
        return [DeletePod(pod, why) for pod in self.taken_by if pod.owner_uid == job.uid and not pod.deleting]


def situation_of(view: View, settings: Settings, now: datetime) -> Situation:
    """The situation of a project."""
    taken_by = tuple(pod for pod in view.pods if not pod.gated and not view.pod_over(pod))
    return Situation(view, settings, now, taken_by)
