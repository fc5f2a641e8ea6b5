"""The decision: `decide(view, settings, now)` says what to do about one project. No I/O, no clock, no client.

It reads as the rules do, and each rule is a policy with a file of its own. A policy looks at the situation and answers with
a decision; it changes nothing. The slot of a project is free when no pod of it, of whatever job, is still there; then the
first job that wants to run gets it.
"""

from datetime import datetime

from headrace_operator.decision import Decision, together
from headrace_operator.policies import finished, last_attempt, lost_node, old_pods, strays, turn
from headrace_operator.policies.situation import situation_of
from headrace_operator.settings import Settings
from headrace_operator.state import Job, View


def decide(view: View, settings: Settings, now: datetime) -> Decision:
    """What to do about a project, and when to look again."""
    situation = situation_of(view, settings, now)

    # 1. Pods that belong to no attempt go.
    parts = [strays.clear(situation)]

    # 2. The jobs, in the order the project runs them. One whose status cannot be read is left alone (see Job.unreadable);
    #    its pods still hold the slot.
    ahead: list[Job] = []
    for job in view.jobs:
        if job.unreadable:
            continue

        # 3. Pods of old attempts go.
        parts.append(old_pods.clear(situation, job))

        # 4. A job that is over has no pods, and is deleted when its time to live is over.
        if job.over:
            parts.append(finished.settle(situation, job))
            continue

        # 5. Its last attempt is counted or looked after; without one there may be a reason not to begin one.
        standing = last_attempt.stand(situation, job)
        parts.append(standing.decision)
        if not standing.in_line:
            continue

        # 6. A job in line starts or waits for its turn. When its attempt was counted just now, the next pass goes on
        #    from what was written.
        if not standing.decision.writes_status():
            parts.append(turn.give(situation, job, ahead))
        ahead.append(job)

    # 7. A pod that neither ends nor answers: is its node still there?
    parts += [lost_node.watch(situation, pod) for pod in situation.taken_by]
    return together(parts)
