"""The decision: `decide(view, settings, now)` says what to do about one project. No I/O, no clock, no client.

It reads as the rules do. Every job is looked at in the order the project runs them; what each pass finds out about a job
(it is over, it waits, it may go) shapes what the next ones may do. The slot is free when no pod of the project, of
whatever job, is still there; then the first job that wants to run gets it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from headrace_api.names import Reason, State
from headrace_api.trainingjob import TrainingJobSpec, TrainingJobStatus
from headrace_operator import statuses
from headrace_operator.attempts import judge
from headrace_operator.clock import parse_timestamp
from headrace_operator.settings import Settings
from headrace_operator.state import Job, Pod, View, later

OVERDUE_SECONDS = 5
"""How long after its grace a pod may linger before its node is looked at; a healthy kubelet needs about 2 s."""
KEPT_PODS = 3
"""Pods of a job's counted attempts that stay for `kubectl logs`; older ones only take space in etcd."""


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the job's status."""

    job: Job
    status: TrainingJobStatus

    @property
    def only_renews_waiting(self) -> bool:
        """Whether nothing changes but whom the job waits behind: such writes are rationed."""
        old, new = self.job.status, self.status
        waits = (Reason.WAITING_FOR_EARLIER_JOB, Reason.WAITING_FOR_POD_TO_END)
        return old.reason in waits and new.reason in waits and new.observed_generation == old.observed_generation


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Take the slot for the job and make the pod of this attempt."""

    job: Job
    attempt: int


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Tell a pod to end, with its grace."""

    pod: Pod
    why: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete a TrainingJob whose time to live after its end is over."""

    job: Job


@dataclass(frozen=True, slots=True)
class LookAtNode:
    """Find out whether the node of a pod still is."""

    pod: Pod


Action = WriteStatus | StartAttempt | DeletePod | DeleteJob | LookAtNode


class Needs(NamedTuple):
    """Which live LISTs must be behind a decision before it is carried out; a watch may be behind, a LIST never is."""

    jobs: bool = False
    pods: bool = False


@dataclass
class Decision:
    """Actions in the order to carry out; when to look again at the latest; what must be known live first."""

    actions: list[Action] = field(default_factory=list)
    wake: datetime | None = None
    needs: Needs = field(default_factory=Needs)

    def wake_by(self, moment: datetime) -> None:
        self.wake = moment if self.wake is None else min(self.wake, moment)

    def need(self, *, jobs: bool = False, pods: bool = False) -> None:
        self.needs = Needs(self.needs.jobs or jobs, self.needs.pods or pods)

    def write(self, job: Job, status: TrainingJobStatus) -> None:
        if status != job.status:
            self.actions.append(WriteStatus(job, status))

    def start(self) -> StartAttempt | None:
        """The start among the actions: there is at most one."""
        return next((action for action in self.actions if isinstance(action, StartAttempt)), None)


def decide(view: View, settings: Settings, now: datetime) -> Decision:
    """What to do about a project, and when to look again."""
    return _Pass(view, settings, now).decide()


class _Pass:
    """The decision in the making: what is given, and what was found out so far."""

    def __init__(self, view: View, settings: Settings, now: datetime) -> None:
        self.view = view
        self.settings = settings
        self.now = now
        self.decision = Decision()
        self.ahead: list[Job] = []
        """Jobs in line, so far."""
        self.taken_by = [pod for pod in view.pods if not pod.gated and not view.pod_over(pod)]
        """Pods that hold the slot: of whatever job, one that is gone included."""

    def decide(self) -> Decision:
        self._clear_strays()
        for job in self.view.jobs:
            if job.unreadable:
                continue  # see Job.unreadable; its pods still hold the slot
            self._clear_old_pods(job)
            if job.over:
                self._finish(job)
            elif self._in_line(job):
                self._give_turn(job)
                self.ahead.append(job)
        for pod in self.taken_by:
            self._watch_end(pod)
        return self.decision

    def _clear_strays(self) -> None:
        """Deletes gated pods (a start that died half-way; they never ran) and pods whose job is gone (invariant 5)."""
        uids = {job.uid for job in self.view.jobs}
        for pod in self.view.pods:
            if not pod.ours or (pod.deleting and not pod.over):
                continue
            if pod.gated:
                self._delete(pod, "left by a start that was not finished")
            elif pod.owner_uid not in uids:
                # The pods' watch may be ahead of the jobs': only a live LIST can say that a job is gone.
                self.decision.need(jobs=True)
                self._delete(pod, "its TrainingJob was deleted")

    def _clear_old_pods(self, job: Job) -> None:
        """Deletes pods that ended long ago; only those whose end is written in the status."""
        counted = job.status.last_attempt.number if job.status.last_attempt else 0
        ended = [pod for pod in self.view.pods if pod.ours and pod.owner_uid == job.uid and pod.over and pod.attempt <= counted]
        for pod in sorted(ended, key=lambda pod: pod.attempt)[:-KEPT_PODS]:
            if not pod.deleting:
                self._delete(pod, f"older than the last {KEPT_PODS} attempts")

    # --- A job that is over ---------------------------------------------------------------------------------------

    def _finish(self, job: Job) -> None:
        """Ends pods that a job still has, and deletes it once it has been over for ttlSecondsAfterFinished."""
        self._end_pods(job, f"its TrainingJob is {job.status.state}")
        ttl = job.spec.ttl_seconds_after_finished if job.spec else None
        if ttl is None or job.deleting or job.status.completion_time is None:
            return
        end = later(parse_timestamp(job.status.completion_time), ttl)
        if self.now >= end:
            self.decision.actions.append(DeleteJob(job))
        else:
            self.decision.wake_by(end)

    # --- A job that is not over -----------------------------------------------------------------------------------

    def _in_line(self, job: Job) -> bool:
        """Whether the job takes part in the order: false once it is over, being deleted, or paused.

        Brings the job's status up to date unless it waits for its turn, which `_give_turn` describes.
        """
        if job.deleting:
            self._end_pods(job, "its TrainingJob is being deleted")
            return False

        # 1. An attempt that is not counted yet: is it over, or how is it doing?
        attempts = sorted(
            (pod for pod in self.view.pods if pod.owner_uid == job.uid and not pod.gated), key=lambda pod: pod.attempt
        )
        number = max([job.status.attempts, *(pod.attempt for pod in attempts)])
        counted = job.status.last_attempt.number if job.status.last_attempt else 0
        if number > counted:
            last = attempts[-1] if attempts and attempts[-1].attempt == number else None
            if last is not None and not self.view.pod_over(last):
                return self._attend(job, last)
            return self._count(job, last, number)

        # 2. No attempt is under way: is there a reason not to begin one?
        if job.spec is None:
            self._end(job, State.ERROR, Reason.INVALID_SPEC, job.invalid)
        elif job.spec.stop:
            self._end(
                job, State.STOPPED, Reason.STOPPED_BY_USER, "stopped by the user before it " + ("went on" if number else "began")
            )
        elif missing := _missing(job.spec, self.settings):
            self._end(job, State.ERROR, Reason.MISSING_STORAGE, missing)
        elif job.spec.suspend:
            self.decision.write(job, statuses.queued(job, Reason.SUSPENDED, statuses.SUSPENDED))
        else:
            return True
        return False

    def _count(self, job: Job, pod: Pod | None, number: int) -> bool:
        """An attempt is over: judges and counts it. Returns whether the job stays in line."""
        if pod is None:
            # Its watch event may not have arrived yet: "vanished" is believed from a live LIST only.
            self.decision.need(pods=True)
        judged = judge(job, pod, self.view, self.settings, self.now)
        status = statuses.after_attempt(job, pod, number, judged, now=self.now, settings=self.settings)
        self.decision.write(job, status)
        # A retry is left to the next pass, on the status just written; until then the job keeps its place (invariant 2).
        return judged.final is None and not _suspended(job)

    def _attend(self, job: Job, pod: Pod) -> bool:
        """Looks after an attempt under way: its status, its deadline, a wish to stop or pause. Returns whether it stays in line."""
        spec = job.spec
        node = self.view.nodes.get(pod.uid)
        unreachable = node is not None and not node.lost and not node.ready and self._seems_lost(pod)
        report = self.view.reports.get(pod.uid)
        status = statuses.live(job, pod, report=report, unreachable=unreachable, now=self.now, settings=self.settings)
        due = statuses.progress_due(job.status, report, self.settings) if report else None
        if due is not None and self.now < due:
            self.decision.wake_by(due)

        limit = spec.pre_running_deadline_seconds if spec else None
        if limit is not None and status.state is not State.RUNNING and not pod.deleting:
            deadline = later(pod.created, limit)
            if self.now >= deadline:
                was = status.message or status.reason
                message = f"not Running {limit} s after pod {pod.name} was made (preRunningDeadlineSeconds); it was: {was}"
                self._end(job, State.ERROR, Reason.PRE_RUNNING_DEADLINE_EXCEEDED, message, status)
                self._delete(pod, message)
                return False
            self.decision.wake_by(deadline)

        self.decision.write(job, status)
        if spec and (spec.stop or spec.suspend) and not pod.deleting:
            self._delete(pod, "stopped by the user" if spec.stop else "paused by the user")
        return not _suspended(job)

    def _give_turn(self, job: Job) -> None:
        """A job that is in line: it has a pod, starts, or waits, and its status says for what."""
        if any(pod.owner_uid == job.uid for pod in self.taken_by):
            return
        if any(isinstance(action, WriteStatus) and action.job is job for action in self.decision.actions):
            return  # an attempt was counted just now; the next pass goes on from what was written
        if self.ahead:
            self.decision.write(job, statuses.queued(job, Reason.WAITING_FOR_EARLIER_JOB, statuses.behind(self.ahead)))
            return
        due = job.status.next_attempt_time
        if due is not None and self.now < parse_timestamp(due):
            self.decision.write(job, statuses.queued(job, Reason.WAITING_FOR_RETRY, statuses.retry_message(job)))
            self.decision.wake_by(parse_timestamp(due))
            return
        if self.taken_by:
            pods = ", ".join(pod.name for pod in self.taken_by)
            message = f"first in line; waits for pod {pods} to end"
            self.decision.write(job, statuses.queued(job, Reason.WAITING_FOR_POD_TO_END, message))
            return
        gated = [pod for pod in self.view.pods if pod.gated]
        if stuck := ", ".join(pod.name for pod in gated if pod.deleting):
            # No kubelet knows a gated pod: unless a finalizer keeps it, it is gone as soon as it is deleted.
            message = f"first in line; pod {stuck}, which never ran and was deleted, is kept by a finalizer: remove that from it"
            self.decision.write(job, statuses.queued(job, Reason.WAITING_FOR_POD_TO_END, message))
        elif not gated:
            self.decision.need(jobs=True)
            self.decision.actions.append(StartAttempt(job, job.status.attempts + 1))

    # --- Pods -----------------------------------------------------------------------------------------------------

    def _watch_end(self, pod: Pod) -> None:
        """Looks at the node of a pod that neither ends nor answers."""
        if pod.deletion_deadline is not None and self.now < later(pod.deletion_deadline, OVERDUE_SECONDS):
            self.decision.wake_by(later(pod.deletion_deadline, OVERDUE_SECONDS))
        if not self._seems_lost(pod) or not self.settings.all_namespaces:
            return
        node = self.view.nodes.get(pod.uid)
        if node is None or self.now >= later(node.looked, self.settings.node_look):
            self.decision.actions.append(LookAtNode(pod))
        else:
            self.decision.wake_by(later(node.looked, self.settings.node_look))

    def _seems_lost(self, pod: Pod) -> bool:
        """Whether the pod's node may be gone: the pod should have ended by now, or was Running and is not Ready any more.

        The node controller marks pods not Ready when their node stops answering. In namespaced mode the operator cannot
        look at nodes; there the pod garbage collector's deletion of the pod settles it.
        """
        overdue = pod.deletion_deadline is not None and self.now >= later(pod.deletion_deadline, OVERDUE_SECONDS)
        job = next((job for job in self.view.jobs if job.uid == pod.owner_uid), None)
        silent = job is not None and statuses.was_running(job, pod) and not pod.ready
        return bool(pod.node) and (overdue or silent)

    def _end_pods(self, job: Job, why: str) -> None:
        for pod in self.taken_by:
            if pod.owner_uid == job.uid and not pod.deleting:
                self._delete(pod, why)

    def _delete(self, pod: Pod, why: str) -> None:
        self.decision.actions.append(DeletePod(pod, why))

    def _end(self, job: Job, state: State, reason: Reason, message: str, status: TrainingJobStatus | None = None) -> None:
        self.decision.write(job, statuses.final(job, status or job.status, state, reason, message=message, now=self.now))


def _suspended(job: Job) -> bool:
    return job.spec is not None and job.spec.suspend


def _missing(spec: TrainingJobSpec, settings: Settings) -> str:
    """What a job without storage or output lacks, and the fix; empty when nothing is missing."""
    if spec.storage is None and settings.default_storage_secret is None:
        return "spec.storage is missing and the operator has no default: set spec.storage.secretRef.name to a Secret with its keys"
    if spec.output is None and settings.default_output_uri is None:
        return "spec.output is missing and the operator has no default: set spec.output.uri to the s3:// folder for run folders"
    return ""
