"""What the operator knows, as frozen values: jobs, trainer pods, nodes, and the view of one project that `decide` reads.

Nothing here does I/O. API objects come in as parsed JSON and are read once, when they arrive, not once a pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import ValidationError

from headrace_api import names
from headrace_api.report import Outcome, TrainerStatus
from headrace_api.trainingjob import TrainingJobSpec, TrainingJobStatus, parse_job
from headrace_operator.clock import parse_timestamp

Raw = Mapping[str, Any]
"""A Kubernetes object as parsed JSON; never changed in place."""


class ProjectKey(NamedTuple):
    """The unit of work: projects do not know of each other, and equal names in two namespaces are two projects."""

    namespace: str
    project: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.project}"


@dataclass(frozen=True, slots=True)
class Job:
    """A TrainingJob. `spec` is None when what is stored does not make sense; `invalid` then says why."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    generation: int
    created: datetime
    deleting: bool
    project: str
    spec: TrainingJobSpec | None
    invalid: str
    status: TrainingJobStatus
    raw: Raw = field(compare=False, repr=False)

    @property
    def key(self) -> ProjectKey:
        return ProjectKey(self.namespace, self.project)

    @property
    def order(self) -> tuple[datetime, str]:
        """Jobs of a project run in this order (invariant 2)."""
        return (self.created, self.name)

    @property
    def over(self) -> bool:
        """Whether the job is in a final state."""
        return self.status.state is not None and self.status.state.final


@dataclass(frozen=True, slots=True)
class Pod:
    """A trainer pod, reduced to what decisions rest on."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    project: str
    owner_uid: str
    attempt: int
    created: datetime
    deletion_deadline: datetime | None
    """When its grace is over (metadata.deletionTimestamp); None: nobody asked it to go."""
    gated: bool
    phase: str
    pod_reason: str
    pod_message: str
    node: str
    ip: str
    scheduled: bool
    unscheduled_message: str
    ready: bool
    disruption: str
    """Reason of the DisruptionTarget condition (eviction, preemption, drain, PodGC); empty: none."""
    waiting_reason: str
    waiting_message: str
    exit_code: int | None
    exit_reason: str
    exit_message: str
    exit_time: datetime | None
    outcome: Outcome | None

    @property
    def key(self) -> ProjectKey:
        return ProjectKey(self.namespace, self.project)

    @property
    def deleting(self) -> bool:
        return self.deletion_deadline is not None

    @property
    def over(self) -> bool:
        """Whether its container is no more: with restartPolicy Never that is final, and the phase follows about 1.2 s later."""
        return self.phase in ("Succeeded", "Failed") or self.exit_code is not None


@dataclass(frozen=True, slots=True)
class Node:
    """What a look at a node told: only asked for when a pod neither ends nor answers."""

    name: str
    looked: datetime
    exists: bool
    out_of_service: bool

    @property
    def lost(self) -> bool:
        """Whether whatever ran there is certain to run no more."""
        return not self.exists or self.out_of_service


@dataclass(frozen=True, slots=True)
class Report:
    """What a running trainer last answered on /status."""

    heard: datetime
    status: TrainerStatus


@dataclass(frozen=True, slots=True)
class View:
    """One project at one moment: all that `decide` may look at."""

    key: ProjectKey
    jobs: tuple[Job, ...]
    """In the order they run."""
    pods: tuple[Pod, ...]
    nodes: Mapping[str, Node] = field(default_factory=dict)
    reports: Mapping[str, Report] = field(default_factory=dict)
    """By pod uid."""

    def pod_over(self, pod: Pod) -> bool:
        """Whether the pod runs no more: it ended, or what it ran on is certainly gone."""
        return pod.over or self.node_lost(pod)

    def node_lost(self, pod: Pod) -> bool:
        """Whether the pod never ended but its node is certainly gone."""
        return not pod.over and pod.node in self.nodes and self.nodes[pod.node].lost


class JobReader:
    """Reads TrainingJobs of the API server. A spec is parsed once per generation, not once per event: most change the status."""

    def __init__(self) -> None:
        self.specs: dict[str, tuple[int, TrainingJobSpec | None, str]] = {}
        """By uid: generation, spec, what is wrong with it."""

    def __call__(self, raw: Raw) -> Job:
        uid, generation = raw["metadata"]["uid"], raw["metadata"].get("generation", 1)
        known = self.specs.get(uid)
        if known is None or known[0] != generation:
            known = self.specs[uid] = (generation, *_spec(raw))
        return _job(raw, known[1], known[2])

    def forget(self, uid: str) -> None:
        """The job is gone."""
        self.specs.pop(uid, None)


def job_from(raw: Raw) -> Job:
    """Reads a TrainingJob of the API server."""
    return _job(raw, *_spec(raw))


def _spec(raw: Raw) -> tuple[TrainingJobSpec | None, str]:
    """The spec, or None and what is wrong with it."""
    try:
        return parse_job(dict(raw)).spec, ""
    except ValidationError as error:
        return None, "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()[:5])


def _job(raw: Raw, spec: TrainingJobSpec | None, invalid: str) -> Job:
    metadata = raw["metadata"]
    return Job(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=int(metadata["resourceVersion"]),
        generation=metadata.get("generation", 1),
        created=parse_timestamp(metadata["creationTimestamp"]),
        deleting="deletionTimestamp" in metadata,
        project=str(raw.get("spec", {}).get("project", "")),
        spec=spec,
        invalid=invalid,
        status=TrainingJobStatus.model_validate(raw.get("status") or {}),
        raw=raw,
    )


def pod_from(raw: Raw) -> Pod:
    """Reads a trainer pod of the API server."""
    metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
    labels = metadata.get("labels", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
    container: dict[str, Any] = next((c for c in status.get("containerStatuses") or [] if c["name"] == names.CONTAINER), {})
    waiting = container.get("state", {}).get("waiting") or {}
    terminated = container.get("state", {}).get("terminated") or {}
    disruption, unscheduled = conditions.get("DisruptionTarget", {}), conditions.get("PodScheduled", {})
    owner: Raw = next((owner for owner in metadata.get("ownerReferences", []) if owner.get("controller")), {})
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=int(metadata["resourceVersion"]),
        project=labels.get(names.LABEL_PROJECT, ""),
        owner_uid=owner.get("uid", ""),
        attempt=int(labels.get(names.LABEL_ATTEMPT) or 0),
        created=parse_timestamp(metadata["creationTimestamp"]),
        deletion_deadline=_moment(metadata.get("deletionTimestamp")),
        gated=any(gate["name"] == names.SCHEDULING_GATE for gate in spec.get("schedulingGates") or []),
        phase=status.get("phase", "Pending"),
        pod_reason=status.get("reason", ""),
        pod_message=status.get("message", ""),
        node=spec.get("nodeName", ""),
        ip=status.get("podIP", ""),
        scheduled=bool(spec.get("nodeName")),
        unscheduled_message=unscheduled.get("message", "") if unscheduled.get("reason") == "Unschedulable" else "",
        ready=conditions.get("Ready", {}).get("status") == "True",
        disruption=disruption.get("reason", "") if disruption.get("status") == "True" else "",
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        exit_code=terminated.get("exitCode"),
        exit_reason=terminated.get("reason", ""),
        exit_message=terminated.get("message", ""),
        exit_time=_moment(terminated.get("finishedAt")),
        outcome=_outcome(terminated.get("message", "")),
    )


OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""Taint by which an administrator vouches that a node is down (Kubernetes' non-graceful node shutdown)."""


def node_from(name: str, raw: Raw | None, looked: datetime) -> Node:
    """Reads a node of the API server; None: there is no such node."""
    taints = (raw or {}).get("spec", {}).get("taints") or []
    return Node(name, looked, raw is not None, any(taint["key"] == OUT_OF_SERVICE for taint in taints))


def _moment(text: str | None) -> datetime | None:
    return parse_timestamp(text) if text else None


def _outcome(message: str) -> Outcome | None:
    """The trainer's outcome; None when the message is something else, such as the end of a log."""
    try:
        return Outcome.model_validate_json(message.strip().rpartition("\n")[2]) if message else None
    except ValidationError:
        return None


def later(moment: datetime, seconds: float) -> datetime:
    """A moment that many seconds after another."""
    return moment + timedelta(seconds=seconds)
