"""What the node knows about a pod's containers, and the PodStatus that a kubelet would write for it. Pure.

Sources: kubelet's getPhase and pkg/kubelet/status/generate.go of Kubernetes 1.35, and observations of a real
1.35 kubelet (docs/decisions/0004-process-node.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]
UNKNOWN_EXIT = 137


@dataclass(frozen=True)
class Waiting:
    """Not started, or between two starts."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """The main process has been running since `started_at` (UTC)."""

    started_at: datetime


@dataclass(frozen=True)
class Terminated:
    """The main process and everything below it ended. Times are UTC; None if unknown."""

    exit_code: int
    reason: str
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    container_id: str = ""


@dataclass
class ContainerRecord:
    """The current facts about one container; its runner changes them, `pod_status` reads them."""

    name: str
    image: str
    state: Waiting | Running | Terminated
    last: Terminated | None = None
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    @property
    def succeeded(self) -> bool:
        return isinstance(self.state, Terminated) and self.state.exit_code == 0

    def lose(self) -> None:
        """Set the state that a kubelet reports if a pod ended and it cannot find one of the containers."""
        self.state = Terminated(
            UNKNOWN_EXIT,
            "ContainerStatusUnknown",
            "The container could not be located when the pod was terminated",
        )
        self.ready = self.started = False


def recorded(name: str, image: str, waiting: Waiting, before: Json | None) -> ContainerRecord:
    """A container's record when this agent first sees the pod, from an earlier agent's status, if any.

    A container that was running then is gone: its processes died with the agent that had started them.
    """
    record = ContainerRecord(name, image, waiting)
    if before is None:
        return record
    record.restarts = before.get("restartCount", 0)
    if "terminated" in before.get("lastState", {}):
        record.last = _terminated(before["lastState"]["terminated"])
    if "terminated" in before["state"]:
        record.state = _terminated(before["state"]["terminated"])
    elif "running" in before["state"]:
        record.lose()
    return record


def _terminated(state: Json) -> Terminated:
    started, finished = (state.get(key) for key in ("startedAt", "finishedAt"))
    return Terminated(
        state["exitCode"],
        state.get("reason", ""),
        state.get("message", ""),
        started and datetime.fromisoformat(started),
        finished and datetime.fromisoformat(finished),
        state.get("containerID", ""),
    )


@dataclass(frozen=True)
class PodFacts:
    """Everything that goes into a PodStatus, besides the pod itself."""

    init: Sequence[ContainerRecord]
    containers: Sequence[ContainerRecord]
    host_ip: str
    pod_ip: str | None
    started_at: datetime
    # The pod is ending (deleted, past its deadline, evicted): containers no longer restart.
    ending: bool = False
    # Why the node ended or refused the pod: status.reason and status.message.
    reason: str | None = None
    message: str | None = None
    failed: bool = False


def phase_of(pod: Json, facts: PodFacts) -> str:
    """Pending, Running, Succeeded or Failed."""
    policy = "Never" if facts.ending else pod["spec"].get("restartPolicy", "Always")
    if facts.failed:
        return "Failed"
    for record in facts.init:
        if not record.succeeded:
            over = isinstance(record.state, Terminated) and policy == "Never"
            return "Failed" if over else "Pending"
    if any(isinstance(record.state, Waiting) and record.last is None for record in facts.containers):
        return "Pending"
    if policy == "Always" or any(not isinstance(record.state, Terminated) for record in facts.containers):
        return "Running"
    if all(record.succeeded for record in facts.containers):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def pod_status(
    pod: Json,
    facts: PodFacts,
    previous: Sequence[Json],
    now: datetime,
    phase: str | None = None,
) -> dict[str, Any]:
    """The `status` to patch. `previous` are the conditions from the last write (they keep their transition times).

    `phase` overrides only the phase: a kubelet reports ended containers first, then the pod's end.
    """
    final = phase_of(pod, facts)
    status: dict[str, Any] = {
        "observedGeneration": pod["metadata"].get("generation", 0),
        "phase": phase or final,
        "conditions": _stamped(_conditions(pod, facts, final), previous, now),
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "startTime": timestamp(facts.started_at),
    }
    if facts.pod_ip:
        # A merge by address would add to the address that an earlier agent gave the pod.
        status |= {"podIP": facts.pod_ip, "podIPs": [{"$patch": "replace"}, {"ip": facts.pod_ip}]}
    if facts.reason:
        status |= {"reason": facts.reason, "message": facts.message}
    if facts.init:
        status["initContainerStatuses"] = [container_status(record) for record in facts.init]
    if facts.containers:
        status["containerStatuses"] = [container_status(record) for record in facts.containers]
    return status


def container_status(record: ContainerRecord) -> dict[str, Any]:
    """One entry of containerStatuses."""
    status: dict[str, Any] = {
        "name": record.name,
        "image": record.image,
        "imageID": "" if isinstance(record.state, Waiting) and not record.last else record.image,
        "ready": record.ready,
        "started": record.started,
        "restartCount": record.restarts,
        "state": _state(record.state),
        "lastState": {} if record.last is None else _state(record.last),
    }
    if record.container_id:
        status["containerID"] = record.container_id
    return status


def timestamp(moment: datetime) -> str:
    """RFC 3339 in whole seconds, the format of times in a PodStatus."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _state(state: Waiting | Running | Terminated) -> dict[str, Any]:
    if isinstance(state, Waiting):
        return {"waiting": _without_empty({"reason": state.reason, "message": state.message})}
    if isinstance(state, Running):
        return {"running": {"startedAt": timestamp(state.started_at)}}
    return {
        "terminated": _without_empty(
            {
                "exitCode": state.exit_code,
                "reason": state.reason,
                "message": state.message,
                "startedAt": state.started_at and timestamp(state.started_at),
                "finishedAt": state.finished_at and timestamp(state.finished_at),
                "containerID": state.container_id,
            }
        )
    }


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _conditions(pod: Json, facts: PodFacts, final: str) -> list[dict[str, Any]]:
    over = final in ("Succeeded", "Failed")
    not_initialized = [record.name for record in facts.init if not record.succeeded]
    unready = [record.name for record in facts.containers if not record.ready]

    initialized: dict[str, Any] = {"type": "Initialized", "status": "True"}
    if final == "Succeeded":
        initialized["reason"] = "PodCompleted"
    elif not_initialized:
        initialized = _false("Initialized", "ContainersNotInitialized", "containers with incomplete status", not_initialized)

    def readiness(kind: str) -> dict[str, Any]:
        if over:
            return {"type": kind, "status": "False", "reason": "PodCompleted" if final == "Succeeded" else "PodFailed"}
        if unready or not_initialized:
            return _false(kind, "ContainersNotReady", "containers with unready status", unready)
        return {"type": kind, "status": "True"}

    sandbox = facts.pod_ip is not None and not over
    conditions = [
        {"type": "PodReadyToStartContainers", "status": str(sandbox)},
        initialized,
        readiness("Ready"),
        readiness("ContainersReady"),
    ]
    generation = pod["metadata"].get("generation", 0)
    return [{"observedGeneration": generation} | condition for condition in conditions]


def _false(kind: str, reason: str, message: str, names: Sequence[str]) -> dict[str, Any]:
    return {"type": kind, "status": "False", "reason": reason, "message": f"{message}: [{' '.join(names)}]"}


def _stamped(conditions: list[dict[str, Any]], previous: Sequence[Json], now: datetime) -> list[dict[str, Any]]:
    """The conditions with their last transition, which is now if the status changed.

    A strategic merge patch does not change fields that it does not name, so this names reason and message even if empty.
    """
    before = {condition["type"]: condition for condition in previous}
    result = []
    for condition in conditions:
        old = before.get(condition["type"])
        unchanged = old is not None and old["status"] == condition["status"]
        since = old["lastTransitionTime"] if old is not None and unchanged else timestamp(now)
        result.append({"reason": None, "message": None, "lastTransitionTime": since} | condition)
    return result
