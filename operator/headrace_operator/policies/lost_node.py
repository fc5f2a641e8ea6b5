"""Checks the nodes of pods that neither end nor answer: the node may be gone."""

from headrace_operator import statuses
from headrace_operator.decision import Decision, LookAtNode, earliest
from headrace_operator.policies.situation import Situation
from headrace_operator.state import Pod, later

OVERDUE_SECONDS = 5
"""How long a pod may outlast its grace period before its node is checked; a healthy kubelet needs about 2 s."""


def watch(situation: Situation, pod: Pod) -> Decision:
    """Checks the node of a pod that seems lost, repeatedly until the pod ends."""
    late = later(pod.deletion_deadline, OVERDUE_SECONDS) if pod.deletion_deadline is not None else None
    wake = late if late is not None and situation.now < late else None
    if not _seems_lost(situation, pod) or not situation.settings.all_namespaces:
        return Decision(wake=wake)
    node = situation.view.nodes.get(pod.uid)
    next_look = later(node.looked, situation.settings.node_look) if node is not None else situation.now
    if situation.now >= next_look:
        return Decision([LookAtNode(pod)], wake=wake)
    return Decision(wake=earliest(wake, next_look))


def unreachable(situation: Situation, pod: Pod) -> bool:
    """Whether the pod's node exists, as far as is known, but does not answer."""
    node = situation.view.nodes.get(pod.uid)
    return node is not None and not node.lost and not node.ready and _seems_lost(situation, pod)


def _seems_lost(situation: Situation, pod: Pod) -> bool:
    """Whether the pod's node may be gone: the pod should have ended by now, or was Running and is no longer Ready.

    The node controller marks pods not Ready when their node stops answering. In namespaced mode the operator cannot read nodes;
    there it waits for the pod garbage collector to delete the pod.
    """
    overdue = pod.deletion_deadline is not None and situation.now >= later(pod.deletion_deadline, OVERDUE_SECONDS)
    job = situation.owner_of(pod)
    silent = job is not None and statuses.was_running(job, pod) and not pod.ready
    return bool(pod.node) and (overdue or silent)
