"""The decision: `decide(view, settings, now)` says what to do about one project. No I/O, no clock, no client.

It reads like the rules, and each rule is a policy in its own file. A policy looks at the situation and returns a decision; it
changes nothing. A project's slot is free when no pod of any of its jobs may still be running; the first job in line gets it.
"""

from datetime import datetime

from headrace_operator.decision import Decision, together
from headrace_operator.policies import finished, last_attempt, lost_node, old_pods, strays, turn
from headrace_operator.policies.situation import situation_of
from headrace_operator.settings import Settings
from headrace_operator.state import Job, View


def decide(view: View, settings: Settings, now: datetime) -> Decision:
    """Decides what to do about a project, and when to look again."""
    situation = situation_of(view, settings, now)

    # 1. Delete pods that belong to no attempt.
    parts = [strays.clear(situation)]

    # 2. Go through the jobs in the order the project runs them. A job whose status cannot be read is left alone (see
    #    Job.unreadable); its pods still hold the slot.
    ahead: list[Job] = []
    for job in view.jobs:
        if job.unreadable:
            continue

        # 3. Delete pods of old attempts.
        parts.append(old_pods.clear(situation, job))

        # 4. A job that is over must have no pods, and is deleted when its time to live has passed.
        if job.over:
            parts.append(finished.settle(situation, job))
            continue

        # 5. Count its last attempt or look after it; without one, check whether there is a reason not to start one.
        standing = last_attempt.stand(situation, job)
        parts.append(standing.decision)
        if not standing.in_line:
            continue

        # 6. A job in line starts or waits for its turn. If its attempt was just counted, the next pass continues from the
        #    written status.
        if not standing.decision.writes_status():
            parts.append(turn.give(situation, job, ahead))
        ahead.append(job)

    # 7. If a pod neither ends nor answers, check whether its node still exists.
    parts += [lost_node.watch(situation, pod) for pod in situation.taken_by]
    return together(parts)
