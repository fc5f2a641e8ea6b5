"""The input of the policies: the view of the project, the settings and the time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from headrace_operator.decision import Action, DeletePod
from headrace_operator.settings import Settings
from headrace_operator.state import Job, Pod, View


@dataclass(frozen=True, slots=True)
class Situation:
    """One project at one moment, indexed once: a project may have thousands of jobs, each with pods kept for their logs."""

    view: View
    settings: Settings
    now: datetime
    jobs: Mapping[str, Job]
    """By uid."""
    pods: Mapping[str, Sequence[Pod]]
    """By uid of their job, including gated ones."""
    taken_by: Sequence[Pod]
    """Pods that hold the slot, of any job, even a deleted one."""

    def pods_of(self, job: Job) -> Sequence[Pod]:
        """The job's pods, including gated ones."""
        return self.pods.get(job.uid, ())

    def owner_of(self, pod: Pod) -> Job | None:
        """The job that the pod belongs to; None if it is gone."""
        return self.jobs.get(pod.owner_uid)

    def slot_pods_of(self, job: Job) -> list[Pod]:
        """The job's pods that hold the slot: normally at most one."""
        return [pod for pod in self.pods_of(job) if _holds_slot(self.view, pod)]

    def end_pods(self, job: Job, why: str) -> list[Action]:
        """Deletes the pods that the job still runs, except those already being deleted."""
        return [DeletePod(pod, why) for pod in self.slot_pods_of(job) if not pod.deleting]


def situation_of(view: View, settings: Settings, now: datetime) -> Situation:
    """Indexes the view of a project."""
    pods: defaultdict[str, list[Pod]] = defaultdict(list)
    for pod in view.pods:
        pods[pod.owner_uid].append(pod)
    jobs = {job.uid: job for job in view.jobs}
    taken_by = [pod for pod in view.pods if _holds_slot(view, pod)]
    return Situation(view, settings, now, jobs, pods, taken_by)


def _holds_slot(view: View, pod: Pod) -> bool:
    """Whether the pod may be running."""
    return not pod.gated and not view.pod_over(pod)
