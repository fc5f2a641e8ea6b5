"""What the operator knows, as frozen values: jobs, trainer pods, nodes, and the view of one project that `decide` reads.

Nothing here does I/O. API objects come in as parsed JSON and are read once, when they arrive, not once a pass.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import ValidationError

from headrace_api import names
from headrace_api.names import Reason
from headrace_api.report import Outcome, TrainerStatus, Verdict
from headrace_api.trainingjob import TrainingJob, TrainingJobSpec, TrainingJobStatus, parse_job
from headrace_api.wrong_fields import wrong_fields_in_words
from headrace_operator.clock import parse_timestamp
from headrace_operator.versions import read_tolerantly

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
    misread: tuple[str, ...]
    """Fields of the status that this version cannot read."""
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

    @property
    def unreadable(self) -> str:
        """Fields of the status without which nothing can be decided, and which this version cannot read; empty: all is well.

        Such a job keeps its pods, and nothing is done to it: it might be over, and it might have used up its attempts.
        """
        return ", ".join(name for name in self.misread if name in ESSENTIAL)

    @property
    def counted(self) -> int:
        """The number of the last attempt that is judged and counted; 0 before the first."""
        return self.status.last_attempt.number if self.status.last_attempt else 0

    @property
    def stopping(self) -> bool:
        """Whether the user wishes it to stop."""
        return self.spec is not None and self.spec.stop

    @property
    def suspended(self) -> bool:
        """Whether the user wishes it to pause."""
        return self.spec is not None and self.spec.suspend


@dataclass(frozen=True, slots=True)
class Pod:
    """A trainer pod, reduced to what decisions rest on."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    project: str
    owner_uid: str
    ours: bool
    """Whether an operator made it: it has our labels and its controller is a TrainingJob. Others are never deleted."""
    attempt: int
    """0: its label is no number."""
    created: datetime
    deletion_deadline: datetime | None
    """When its grace is over (metadata.deletionTimestamp); None: nobody asked it to go."""
    gated: bool
    phase: str
    pod_reason: str
    pod_message: str
    node: str
    ip: str
    gpus: int
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
    ready: bool
    """Whether its kubelet answers."""

    @property
    def lost(self) -> bool:
        """Whether whatever ran there when it was looked at is certain to run no more."""
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
    """By uid of the pod for whose sake its node was looked at: a node may come back under its name, and what was seen of the
    old one says nothing about pods of the new one."""
    reports: Mapping[str, Report] = field(default_factory=dict)
    """By pod uid."""

    def pod_over(self, pod: Pod) -> bool:
        """Whether the pod runs no more: it ended, or what it ran on is certainly gone."""
        return pod.over or self.node_lost(pod)

    def node_lost(self, pod: Pod) -> bool:
        """Whether the pod never ended but its node is certainly gone."""
        return not pod.over and pod.uid in self.nodes and self.nodes[pod.uid].lost


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
        return None, wrong_fields_in_words(error, TrainingJob)


ESSENTIAL = frozenset({"state", "attempts", "failures", "lastAttempt", "completionTime"})
"""Fields of the status that decisions rest on; the others are for people, and are written anew."""


def _job(raw: Raw, spec: TrainingJobSpec | None, invalid: str) -> Job:
    metadata = raw["metadata"]
    status, misread = _status(raw.get("status") or {})
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
        status=status,
        misread=misread,
        raw=raw,
    )


def _status(document: Any) -> tuple[TrainingJobStatus, tuple[str, ...]]:
    """The status, and the fields of it that cannot be read."""
    try:
        return read_tolerantly(TrainingJobStatus, document)
    except ValidationError:
        return TrainingJobStatus(), tuple(sorted(ESSENTIAL))


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
    labelled = all(name in labels for name in (names.LABEL_MANAGED_BY, names.LABEL_PROJECT, names.LABEL_JOB))
    group = str(owner.get("apiVersion", "")).partition("/")[0]
    ours = labelled and (group, owner.get("kind")) == (names.GROUP, names.KIND)
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=int(metadata["resourceVersion"]),
        project=labels.get(names.LABEL_PROJECT, ""),
        owner_uid=owner.get("uid", ""),
        ours=ours,
        attempt=_number(labels.get(names.LABEL_ATTEMPT, "")),
        created=parse_timestamp(metadata["creationTimestamp"]),
        deletion_deadline=_moment(metadata.get("deletionTimestamp")),
        gated=ours and any(gate["name"] == names.SCHEDULING_GATE for gate in spec.get("schedulingGates") or []),
        phase=status.get("phase", "Pending"),
        pod_reason=status.get("reason", ""),
        pod_message=status.get("message", ""),
        node=spec.get("nodeName", ""),
        ip=status.get("podIP", ""),
        gpus=_gpus(spec),
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


def _gpus(spec: Raw) -> int:
    """How many GPUs a pod holds while it is on a node."""
    limits = [container.get("resources", {}).get("limits") or {} for container in spec.get("containers") or []]
    return sum(_number(str(limit.get(names.RESOURCE_GPU, ""))) for limit in limits)


OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""Taint by which an administrator vouches that a node is down (Kubernetes' non-graceful node shutdown)."""


def node_from(name: str, raw: Raw | None, looked: datetime) -> Node:
    """Reads a node of the API server; None: there is no such node."""
    taints = (raw or {}).get("spec", {}).get("taints") or []
    conditions = (raw or {}).get("status", {}).get("conditions") or []
    return Node(
        name=name,
        looked=looked,
        exists=raw is not None,
        out_of_service=any(taint["key"] == OUT_OF_SERVICE for taint in taints),
        ready=any((condition["type"], condition["status"]) == ("Ready", "True") for condition in conditions),
    )


def _number(label: str) -> int:
    """The number of an attempt; 0 for what is none."""
    return int(label) if re.fullmatch("[0-9]{1,9}", label) else 0


def _moment(text: str | None) -> datetime | None:
    return parse_timestamp(text) if text else None


def _outcome(message: str) -> Outcome | None:
    """The trainer's outcome; None when the message is something else, such as the end of a log.

    A newer trainer may have a reason that this version has no word for: how it ended counts all the same.
    """
    try:
        document = json.loads(message.strip().rpartition("\n")[2]) if message else None
        return read_tolerantly(Outcome, document, _instead(document))[0] if isinstance(document, dict) else None
    except ValueError:  # no JSON, or (pydantic's ValidationError is one) no outcome
        return None


def _instead(document: Raw) -> Raw:
    """What stands for fields of an outcome that this version cannot read."""
    reasons = {Verdict.DONE: Reason.REACHED_MAX_ITERATIONS, Verdict.STOPPED: Reason.INTERRUPTED}
    return {"reason": reasons.get(document.get("outcome", ""), Reason.TRAINER_CRASHED), "progress": {}}


def later(moment: datetime, seconds: float) -> datetime:
    """A moment that many seconds after another."""
    return moment + timedelta(seconds=seconds)
