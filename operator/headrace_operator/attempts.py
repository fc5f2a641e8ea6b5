"""Judges an attempt that is over: the table of failures in docs/jobs.md as one pure function.

| what happened                                               | charged | then                                     |
|-------------------------------------------------------------|---------|------------------------------------------|
| reached its iterations or hours (outcome done)              | no      | Done                                     |
| ended in any other way with `spec.stop` set                 | no      | Stopped                                  |
| exit code 2: an error that every attempt would meet         | no      | Error                                    |
| node lost, eviction, preemption, drain, deletion, vanished  | no      | next attempt at once; see `_pause_again` |
| refused by the kubelet before the trainer ran               | no      | next attempt after a pause               |
| any other end (exit 1, a crash, OOMKilled)                  | yes     | next attempt after backoff, or Error     |
"""

from dataclasses import dataclass, replace
from datetime import datetime

from headrace_api import names
from headrace_api.backoff import pause_seconds
from headrace_api.names import ExitCode, Reason, State
from headrace_api.report import Outcome, Verdict
from headrace_operator.clock import parse_timestamp
from headrace_operator.settings import Settings
from headrace_operator.state import Job, Pod, View

POD_DELETED = "PodDeleted"
"""A user deleted the pod: that is intended, and the next attempt follows immediately."""
DISRUPTED = frozenset({"Evicted", "NodeShutdown", "Terminated", "Shutdown", "Preempting"})
"""`status.reason` of pods that a kubelet ended for the sake of its node (pkg/kubelet/eviction, nodeshutdown, preemption)."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of an attempt, and what it means for the job."""

    reason: str
    message: str
    charged: bool = False
    final: State | None = None
    """None: there will be another attempt."""
    final_reason: Reason | None = None
    pause: float = 0
    """Seconds before the next attempt."""
    exit_code: int | None = None
    outcome: Outcome | None = None


def judge(job: Job, pod: Pod | None, view: View, settings: Settings, now: datetime) -> Judgement:
    """Judges the last attempt of `job`, whose pod is over, or gone (None) without a trace of how it ended."""
    stop = job.spec is not None and job.spec.stop
    if pod is None:
        ended = Judgement("PodVanished", "its pod was force-deleted, or deleted before it was scheduled")
    elif view.node_lost(pod):
        ended = Judgement(Reason.NODE_LOST, f"its node {pod.node} was lost")
    else:
        ended = _judge_pod(job, pod, settings)
    if stop and ended.final is not State.DONE:
        what = "stopped by the user" if ended.final is None and not ended.charged else f"stopped by the user; {ended.message}"
        return Judgement(
            Reason.STOPPED_BY_USER,
            what,
            final=State.STOPPED,
            final_reason=Reason.STOPPED_BY_USER,
            exit_code=ended.exit_code,
            outcome=ended.outcome,
        )
    if pod is not None and ended.final is None and not ended.charged and ended.reason != POD_DELETED:
        return replace(ended, pause=max(ended.pause, _pause_again(job, pod, ended, settings, now)))
    return ended


def _pause_again(job: Job, pod: Pod, ended: Judgement, settings: Settings, now: datetime) -> float:
    """Seconds to wait after an uncharged end: 0, unless the previous attempt also ended uncharged and this one made no progress.

    A node under pressure may evict a job again and again, and such attempts are not limited; each pause is twice the previous one.
    """
    last = job.status.last_attempt
    if last is None or last.charged or last.reason == POD_DELETED or (now - pod.created).total_seconds() >= settings.backoff_cap:
        return 0
    made = ended.outcome.checkpoint if ended.outcome else None
    had = job.status.checkpoint
    if made is not None and (had is None or made.iteration > had.iteration):
        return 0
    # This counts all the time between attempts: a job that was suspended may wait longer than necessary, never less.
    before = (pod.created - parse_timestamp(last.finished_time)).total_seconds()
    return min(settings.backoff_cap, max(settings.backoff_base, 2 * before))


def _judge_pod(job: Job, pod: Pod, settings: Settings) -> Judgement:
    """Judges by the pod: first by the trainer's own report, then by what happened to the pod."""
    return _by_trainer(pod) or _by_disruption(job, pod, settings) or _by_failure(job, pod, settings)


def _by_trainer(pod: Pod) -> Judgement | None:
    """The trainer ended by itself: Done, or a final error."""
    outcome, code = pod.outcome, pod.exit_code
    stopped = outcome.outcome == Verdict.STOPPED if outcome else pod.deleting
    if code == ExitCode.OK and not stopped:
        reason = _reason(pod, Reason.REACHED_MAX_ITERATIONS)
        message = outcome.message if outcome else "the trainer exited with 0 but left no outcome"
        return Judgement(reason, message, final=State.DONE, final_reason=reason, exit_code=code, outcome=outcome)
    if code == ExitCode.FATAL:
        reason = _reason(pod, Reason.TRAINER_CRASHED)
        message = _what_it_said(pod) or "the trainer exited with 2: an error that a retry would repeat"
        return Judgement(reason, message, final=State.ERROR, final_reason=reason, exit_code=code, outcome=outcome)
    return None


def _by_disruption(job: Job, pod: Pod, settings: Settings) -> Judgement | None:
    """The pod was disrupted: not the trainer's failure, unless it used more disk than it asked for."""
    if _exceeded_own_disk(pod):
        return _charge(job, pod, Reason.DISK_FULL, f"{pod.pod_message.strip()} (resources.workspace)", settings)
    if pod.disruption or pod.pod_reason in DISRUPTED:
        why = pod.disruption or pod.pod_reason
        message = pod.pod_message or f"its pod was removed from the node ({why})"
        return Judgement(why, message, exit_code=pod.exit_code, outcome=pod.outcome)
    if pod.deleting or (pod.outcome and pod.outcome.outcome == Verdict.STOPPED):
        return Judgement(POD_DELETED, "its trainer was asked to stop", exit_code=pod.exit_code, outcome=pod.outcome)
    return None


def _by_failure(job: Job, pod: Pod, settings: Settings) -> Judgement:
    """The remaining cases: the trainer failed, or the kubelet did not start it."""
    if pod.exit_code is None:
        message = pod.pod_message or "its pod ended before the trainer ran"
        return Judgement(pod.pod_reason or "PodFailed", message, pause=settings.backoff_base)
    if pod.exit_reason == "OOMKilled":
        message = "out of memory: the trainer was killed at its limit (resources.memory)"
        return _charge(job, pod, Reason.OUT_OF_MEMORY, message, settings)
    reason = _reason(pod, Reason.TRAINER_CRASHED)
    message = _what_it_said(pod) or f"the trainer exited with {pod.exit_code} and no message"
    return _charge(job, pod, reason, message, settings)


def _charge(job: Job, pod: Pod, reason: Reason, message: str, settings: Settings) -> Judgement:
    """Counts one more failure: the pause doubles with each, until backoffLimit is exceeded."""
    failures = job.status.failures + 1
    limit = job.spec.backoff_limit if job.spec else 0
    if failures <= limit:
        pause = pause_seconds(failures, settings.backoff_base, settings.backoff_cap)
        return Judgement(reason, message, charged=True, pause=pause, exit_code=pod.exit_code, outcome=pod.outcome)
    return Judgement(
        reason,
        message,
        charged=True,
        final=State.ERROR,
        final_reason=Reason.BACKOFF_LIMIT_EXCEEDED,
        exit_code=pod.exit_code,
        outcome=pod.outcome,
    )


def _reason(pod: Pod, otherwise: Reason) -> Reason:
    """The trainer's reason. It cannot know that the user stopped the job; `judge` knows from spec.stop."""
    if pod.outcome is None or pod.outcome.reason in names.NOT_IN_STATUS | {Reason.STOPPED_BY_USER}:
        return otherwise
    return pod.outcome.reason


def _what_it_said(pod: Pod) -> str:
    """The outcome's message, or the end of the log that the kubelet kept instead."""
    if pod.outcome:
        return pod.outcome.message
    return pod.exit_message.strip()[-1000:]


def _exceeded_own_disk(pod: Pod) -> bool:
    """Whether the kubelet evicted the pod for its own disk usage: that would repeat in every attempt, so it must be charged.

    The texts are the kubelet's (pkg/kubelet/eviction/helpers.go): "Usage of EmptyDir volume ... exceeds the limit" and
    "Pod|Container ... exceeded its local ephemeral storage limit | total limit".
    """
    own = ("exceeds the limit", "exceeds the total limit", "exceeded its local")
    return pod.pod_reason == "Evicted" and any(text in pod.pod_message for text in own)
