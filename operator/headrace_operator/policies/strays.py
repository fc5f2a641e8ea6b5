"""Deletes pods that belong to no attempt: gated ones left behind by a start, and those whose job is gone (invariant 5)."""

from headrace_operator.decision import Action, Decision, DeletePod, Needs
from headrace_operator.policies.situation import Situation


def clear(situation: Situation) -> Decision:
    """Deletes gated pods (from an interrupted start; they never ran) and pods whose job is gone."""
    deletions: list[Action] = []
    job_gone = False
    for pod in situation.view.pods:
        if not pod.ours or (pod.deleting and not pod.over):
            continue
        if pod.gated:
            deletions.append(DeletePod(pod, "left behind by an unfinished start"))
        elif situation.owner_of(pod) is None:
            job_gone = True
            deletions.append(DeletePod(pod, "its TrainingJob was deleted"))
    # The watch of pods may be ahead of that of jobs: only a live LIST can show that a job is gone.
    return Decision(deletions, needs=Needs(jobs=job_gone))
