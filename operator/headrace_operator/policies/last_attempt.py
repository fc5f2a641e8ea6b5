"""The last attempt of a job that is not over: it is counted when it has ended, looked after while it runs."""

from datetime import datetime

from headrace_operator import statuses
from headrace_operator.attempts import judge
from headrace_operator.decision import Action, Decision, DeletePod, Needs, earliest, together, write
from headrace_operator.policies import beginning, deadline, lost_node
from headrace_operator.policies.situation import Situation
from headrace_operator.policies.standing import Standing
from headrace_operator.state import Job, Pod, Report


def stand(situation: Situation, job: Job) -> Standing:
    """Brings the status of a job up to date, unless it only waits for its turn: `turn` says what such a job waits for."""
    if job.deleting:
        return Standing(Decision(situation.end_pods(job, "its TrainingJob is being deleted")), in_line=False)
    pods = sorted((pod for pod in situation.pods_of(job) if not pod.gated), key=lambda pod: pod.attempt)
    number = max([job.status.attempts, *(pod.attempt for pod in pods)])
    if number <= job.counted:
        return beginning.stand(situation, job, attempts=number)
    last = pods[-1] if pods and pods[-1].attempt == number else None
    if last is not None and not situation.view.pod_over(last):
        return _look_after(situation, job, last)
    return _count(situation, job, last, number)


def _count(situation: Situation, job: Job, pod: Pod | None, number: int) -> Standing:
    """An attempt is over: judges and counts it."""
    judged = judge(job, pod, situation.view, situation.settings, situation.now)
    status = statuses.after_attempt(job, pod, number, judged, now=situation.now, settings=situation.settings)
    # The watch event of a pod that is missing may not have arrived yet: "vanished" is believed from a live LIST only.
    decision = Decision(write(job, status), needs=Needs(pods=pod is None))
    # A retry is left to the next pass, on the status just written; until then the job keeps its place (invariant 2).
    return Standing(decision, in_line=judged.final is None and not job.suspended)


def _look_after(situation: Situation, job: Job, pod: Pod) -> Standing:
    """An attempt is under way: writes how it does, enforces its deadline, passes on a wish to stop or pause."""
    report = situation.view.reports.get(pod.uid)
    unreachable = lost_node.unreachable(situation, pod)
    status = statuses.live(job, pod, report=report, unreachable=unreachable, now=situation.now, settings=situation.settings)
    news_due = _next_telling(situation, job, report)
    running_due = deadline.due(job, pod, status)
    if running_due is not None and situation.now >= running_due:
        missed = deadline.miss(situation, job, pod, status)
        return Standing(together([Decision(wake=news_due), missed]), in_line=False)
    actions = [*write(job, status), *_pass_on_wish(job, pod)]
    return Standing(Decision(actions, wake=earliest(news_due, running_due)), in_line=not job.suspended)


def _next_telling(situation: Situation, job: Job, report: Report | None) -> datetime | None:
    """When the trainer's last report may go into the status; None when it is in this one, or says nothing new."""
    due = statuses.progress_due(job.status, report, situation.settings) if report else None
    return due if due is not None and situation.now < due else None


def _pass_on_wish(job: Job, pod: Pod) -> list[Action]:
    """The deletion of the pod, which makes its trainer checkpoint and end, when the user wishes to stop or pause the job."""
    if pod.deleting or not (job.stopping or job.suspended):
        return []
    return [DeletePod(pod, "stopped by the user" if job.stopping else "paused by the user")]
