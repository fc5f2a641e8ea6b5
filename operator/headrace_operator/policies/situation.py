"""What the policies look at: the view of the project, with the settings and the time."""

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
    """By uid of their job; gated ones included."""
    taken_by: Sequence[Pod]
    """Pods that hold the slot, of whatever job, one that is gone included."""

    def pods_of(self, job: Job) -> Sequence[Pod]:
        """The job's pods, gated ones included."""
        return self.pods.get(job.uid, ())

    def owner_of(self, pod: Pod) -> Job | None:
        """The job that the pod belongs to; None when it is gone."""
        return self.jobs.get(pod.owner_uid)

    def slot_pods_of(self, job: Job) -> list[Pod]:
        """The job's pods that hold the slot: at most one, if all is well."""
        return [pod for pod in self.pods_of(job) if _holds_slot(self.view, pod)]

    def end_pods(self, job: Job, why: str) -> list[Action]:
        """The deletions of the pods that the job still runs, but for those that were told to end already."""
        return [DeletePod(pod, why) for pod in self.slot_pods_of(job) if not pod.deleting]


def situation_of(view: View, settings: Settings, now: datetime) -> Situation:
    """The situation of a project."""
    pods: defaultdict[str, list[Pod]] = defaultdict(list)
    for pod in view.pods:
        pods[pod.owner_uid].append(pod)
    jobs = {job.uid: job for job in view.jobs}
    taken_by = [pod for pod in view.pods if _holds_slot(view, pod)]
    return Situation(view, settings, now, jobs, pods, taken_by)


def _holds_slot(view: View, pod: Pod) -> bool:
    """Whether the pod may be running."""
    return not pod.gated and not view.pod_over(pod)
