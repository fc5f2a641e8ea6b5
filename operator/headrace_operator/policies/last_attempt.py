"""Counts the last attempt of an unfinished job once it has ended, and looks after it while it runs."""

from datetime import datetime

from headrace_operator import statuses
from headrace_operator.attempts import judge
from headrace_operator.decision import Action, Decision, DeletePod, Needs, earliest, together, write
from headrace_operator.policies import beginning, deadline, lost_node
from headrace_operator.policies.situation import Situation
from headrace_operator.policies.standing import Standing
from headrace_operator.state import Job, Pod, Report


def stand(situation: Situation, job: Job) -> Standing:
    """Updates the status of a job, unless it is only waiting for its turn, which `turn` handles."""
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
    """Judges and counts an attempt that is over."""
    judged = judge(job, pod, situation.view, situation.settings, situation.now)
    status = statuses.after_attempt(job, pod, number, judged, now=situation.now, settings=situation.settings)
    # The watch event of a missing pod may not have arrived yet: only a live LIST can show that it vanished.
    decision = Decision(write(job, status), needs=Needs(pods=pod is None))
    # The next pass retries, based on the status just written; until then the job keeps its place (invariant 2).
    return Standing(decision, in_line=judged.final is None and not job.suspended)


def _look_after(situation: Situation, job: Job, pod: Pod) -> Standing:
    """Looks after a current attempt: updates the status, enforces its deadline, passes on a stop or suspend."""
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
    """When the trainer's last report may be written; None if it is in the status already or has no news."""
    due = statuses.progress_due(job.status, report, situation.settings) if report else None
    return due if due is not None and situation.now < due else None


def _pass_on_wish(job: Job, pod: Pod) -> list[Action]:
    """Deletes the pod, so that its trainer saves a checkpoint and exits, if the user stops or suspends the job."""
    if pod.deleting or not (job.stopping or job.suspended):
        return []
    return [DeletePod(pod, "stopped by the user" if job.stopping else "suspended by the user")]
