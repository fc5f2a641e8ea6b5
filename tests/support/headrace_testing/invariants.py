"""Checks the operator's invariants (docs/architecture.md, 1 to 6).

Give it every change of jobs and pods in the order in which they happened.

It knows nothing about how the operator works: a change is what any watcher of the API server sees. The property tests pass
it each change as it happens; tests on a real API server pass it what a watch recorded.
"""

from dataclasses import dataclass, field
from typing import Any

from headrace_api import names
from headrace_api.names import ExitCode, Reason, State
from headrace_operator.state import Job, JobReader, Pod, pod_from


class InvariantBrokenError(AssertionError):
    """Names the invariant and what was seen."""


@dataclass
class Checker:
    """Raises InvariantBrokenError at the change that breaks an invariant."""

    read_job: JobReader = field(default_factory=JobReader)
    jobs: dict[str, Job] = field(default_factory=dict)
    """By uid, those that exist."""
    pods: dict[str, Pod] = field(default_factory=dict)
    in_line_since: dict[str, float] = field(default_factory=dict)
    """Since when each job has been in line without a break: it exists, and is not over, paused or being deleted."""
    let_go: dict[str, set[str]] = field(default_factory=dict)
    """By job uid: uids of its pods that were ever ungated."""
    endings: dict[str, list[Pod]] = field(default_factory=dict)
    """By job uid: its pods, each as it was when its container ended."""
    wanted_stop: set[str] = field(default_factory=set)
    lost_nodes: set[str] = field(default_factory=set)
    """Whatever their pods' status says, nothing runs there."""

    def see(self, kind: str, raw: dict[str, Any], deleted: bool, at: float, decided: float) -> None:
        """Takes in a change.

        Args:
            kind: "TrainingJob", "Pod" or "Node"; others are ignored.
            raw: the object after the change or, if deleted, before it.
            deleted: whether the object is gone.
            at: when; any increasing number, such as a resourceVersion or a time.
            decided: if the change ungates a pod: `at` of the last change that the decision had to take into account.
        """
        if kind == names.KIND:
            self._see_job(self.read_job(raw), deleted, at)
        elif kind == "Pod":
            self._see_pod(pod_from(raw), deleted, decided)
        elif kind == "Node" and deleted:
            self.lost_nodes.add(raw["metadata"]["name"])

    def _see_job(self, job: Job, deleted: bool, at: float) -> None:
        old = self.jobs.get(job.uid)
        if old is not None and old.over and not deleted and job.status.state != old.status.state:
            self._broken(3, f"{job.name} was {old.status.state} and is {job.status.state}")
        if deleted:
            self.jobs.pop(job.uid, None)
            self.in_line_since.pop(job.uid, None)
            return
        self.jobs[job.uid] = job
        if job.spec and job.spec.stop:
            self.wanted_stop.add(job.uid)
        if job.over or job.deleting or (job.spec is not None and job.spec.suspend):
            self.in_line_since.pop(job.uid, None)
        else:
            self.in_line_since.setdefault(job.uid, at)
        if job.over and not (old and old.over):
            self._ended_for_a_reason(job)
        last = job.status.last_attempt
        if last is not None and (old is None or old.status.last_attempt != last):
            still = [p.name for p in self.pods.values() if p.owner_uid == job.uid and p.attempt == last.number and self._live(p)]
            if still:
                self._broken(4, f"attempt {last.number} of {job.name} was counted as {last.reason} while {still} was live")

    def _see_pod(self, pod: Pod, deleted: bool, decided: float) -> None:
        old = self.pods.get(pod.uid)
        if pod.exit_code is not None and (old is None or old.exit_code is None):
            self.endings.setdefault(pod.owner_uid, []).append(pod)
        if deleted:
            self.pods.pop(pod.uid, None)
            return
        self.pods[pod.uid] = pod
        if not pod.gated and pod.uid not in self.let_go.setdefault(pod.owner_uid, set()):
            self.let_go[pod.owner_uid].add(pod.uid)
            self._alone_in_its_project(pod)
            self._next_in_line(pod, decided)

    def _alone_in_its_project(self, pod: Pod) -> None:
        others = [p.name for p in self.pods.values() if p.key == pod.key and p.uid != pod.uid and self._live(p)]
        if others:
            self._broken(1, f"{pod.name} was ungated while {', '.join(others)} of project {pod.key} was live")

    def _next_in_line(self, pod: Pod, decided: float) -> None:
        job = self.jobs.get(pod.owner_uid)
        if job is None:
            return  # deleted a moment ago: the pod goes with it
        earlier = [
            other.name
            for other in self.jobs.values()
            if other.key == job.key and other.order < job.order and self.in_line_since.get(other.uid, decided + 1) <= decided
        ]
        if earlier:
            self._broken(2, f"{pod.name} was ungated although {', '.join(earlier)} came first")

    def _ended_for_a_reason(self, job: Job) -> None:
        """Invariants 3 and 4: a final state follows from the spec and from how the job's pods ended, and from nothing else."""
        ended = self.endings.get(job.uid, [])
        codes = [pod.exit_code for pod in ended]
        status = job.status
        if status.state is State.DONE and ExitCode.OK not in codes:
            self._broken(4, f"{job.name} is Done, but its trainers exited with {codes}")
        if status.state is State.STOPPED and job.uid not in self.wanted_stop:
            self._broken(4, f"{job.name} is Stopped, but no user asked for it")
        if status.state is State.ERROR and status.reason is Reason.BACKOFF_LIMIT_EXCEEDED and job.spec:
            failures = sum(code not in (ExitCode.OK, ExitCode.FATAL) for code in codes)
            if failures <= job.spec.backoff_limit:
                self._broken(4, f"{job.name} used up its {job.spec.backoff_limit} retries, but its trainers exited with {codes}")

    def at_rest(self) -> None:
        """Nothing more happens and there is no time left to wait for: everything must be in order."""
        live = {pod.owner_uid for pod in self.pods.values() if self._live(pod)}
        if orphans := live - set(self.jobs):
            self._broken(5, f"pods of deleted jobs are still there: {orphans}")
        waiting = [
            f"{job.name} ({job.status.reason}: {job.status.message})" for uid, job in self.jobs.items() if uid in self.in_line_since
        ]
        if waiting:
            self._broken(6, f"never ended, though nothing blocks them: {', '.join(waiting)}")

    def _live(self, pod: Pod) -> bool:
        return not pod.gated and not pod.over and pod.node not in self.lost_nodes

    def _broken(self, number: int, what: str) -> None:
        raise InvariantBrokenError(f"invariant {number}: {what}")
