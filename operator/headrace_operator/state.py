"""The operator's knowledge as frozen values: jobs, trainer pods, nodes, and the view of one project that `decide` reads.

Nothing here does I/O. API objects come in as parsed JSON and are converted once, on arrival, not in every pass.
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
    """The unit of work: projects are independent, and the same name in two namespaces means two projects."""

    namespace: str
    project: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.project}"


@dataclass(frozen=True, slots=True)
class Job:
    """A TrainingJob. `spec` is None if the stored spec is invalid; `invalid` then says why."""

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
        """Sort key: jobs of a project run in this order (invariant 2)."""
        return (self.created, self.name)

    @property
    def over(self) -> bool:
        """Whether the job is in a final state."""
        return self.status.state is not None and self.status.state.final

    @property
    def unreadable(self) -> str:
        """Essential fields of the status that this version cannot read; empty if all is well.

        Such a job keeps its pods and is left alone: it might be over, or might have used up its attempts.
        """
        return ", ".join(name for name in self.misread if name in ESSENTIAL)

    @property
    def counted(self) -> int:
        """The number of the last attempt that was judged and counted; 0 before the first."""
        return self.status.last_attempt.number if self.status.last_attempt else 0

    @property
    def stopping(self) -> bool:
        """Whether the user wants it to stop."""
        return self.spec is not None and self.spec.stop

    @property
    def suspended(self) -> bool:
        """Whether the user wants it suspended."""
        return self.spec is not None and self.spec.suspend


@dataclass(frozen=True, slots=True)
class Pod:
    """A trainer pod, reduced to what decisions need."""

    namespace: str
    name: str
    uid: str
    resource_version: int
    project: str
    owner_uid: str
    ours: bool
    """Whether an operator created it: it has our labels and its controller is a TrainingJob. Others are never deleted."""
    attempt: int
    """0 if its label is not a number."""
    created: datetime
    deletion_deadline: datetime | None
    """When its grace period ends (metadata.deletionTimestamp); None if it is not being deleted."""
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
    """Reason of the DisruptionTarget condition (eviction, preemption, drain, PodGC); empty if there is none."""
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
        """Whether its container has ended: with restartPolicy Never that is final, and the phase follows about 1.2 s later."""
        return self.phase in ("Succeeded", "Failed") or self.exit_code is not None


@dataclass(frozen=True, slots=True)
class Node:
    """The state of a node, read only if a pod neither ends nor answers."""

    name: str
    looked: datetime
    exists: bool
    out_of_service: bool
    ready: bool
    """Whether its kubelet answers."""

    @property
    def lost(self) -> bool:
        """Whether everything that ran there is certain to have ended."""
        return not self.exists or self.out_of_service


@dataclass(frozen=True, slots=True)
class Report:
    """A running trainer's last answer on /status."""

    heard: datetime
    status: TrainerStatus


@dataclass(frozen=True, slots=True)
class View:
    """One project at one moment: everything that `decide` may look at."""

    key: ProjectKey
    jobs: tuple[Job, ...]
    """In the order they run."""
    pods: tuple[Pod, ...]
    nodes: Mapping[str, Node] = field(default_factory=dict)
    """The node of each pod that we looked up, by the pod's uid: a node may come back under the same name, and the old node's state
    says nothing about pods on the new one."""
    reports: Mapping[str, Report] = field(default_factory=dict)
    """By pod uid."""

    def pod_over(self, pod: Pod) -> bool:
        """Whether the pod no longer runs: it ended, or its node is certainly gone."""
        return pod.over or self.node_lost(pod)

    def node_lost(self, pod: Pod) -> bool:
        """Whether the pod was not seen to end, but its node is certainly gone."""
        return not pod.over and pod.uid in self.nodes and self.nodes[pod.uid].lost


class JobReader:
    """Reads TrainingJobs from the API server. Parses a spec once per generation, not per event: most only change the status."""

    def __init__(self) -> None:
        self.specs: dict[str, tuple[int, TrainingJobSpec | None, str]] = {}
        """By uid: generation, spec, and its problems."""

    def __call__(self, raw: Raw) -> Job:
        uid, generation = raw["metadata"]["uid"], raw["metadata"].get("generation", 1)
        known = self.specs.get(uid)
        if known is None or known[0] != generation:
            known = self.specs[uid] = (generation, *_spec(raw))
        return _job(raw, known[1], known[2])

    def forget(self, uid: str) -> None:
        """Forgets a job that is gone."""
        self.specs.pop(uid, None)


def job_from(raw: Raw) -> Job:
    """Reads a TrainingJob from the API server."""
    return _job(raw, *_spec(raw))


def _spec(raw: Raw) -> tuple[TrainingJobSpec | None, str]:
    """The spec, or None and its problems."""
    try:
        return parse_job(dict(raw)).spec, ""
    except ValidationError as error:
        return None, wrong_fields_in_words(error, TrainingJob)


ESSENTIAL = frozenset({"state", "attempts", "failures", "lastAttempt", "completionTime"})
"""Fields of the status that decisions need; the others are for people and are rewritten."""


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
    """The status, and its fields that cannot be read."""
    try:
        return read_tolerantly(TrainingJobStatus, document)
    except ValidationError:
        return TrainingJobStatus(), tuple(sorted(ESSENTIAL))


def pod_from(raw: Raw) -> Pod:
    """Reads a trainer pod from the API server."""
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
"""Taint with which an administrator confirms that a node is down (Kubernetes' non-graceful node shutdown)."""


def node_from(name: str, raw: Raw | None, looked: datetime) -> Node:
    """Reads a node from the API server; `raw` is None if it does not exist."""
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
    """The number in a label or quantity; 0 if it is not one."""
    return int(label) if re.fullmatch("[0-9]{1,9}", label) else 0


def _moment(text: str | None) -> datetime | None:
    return parse_timestamp(text) if text else None


def _outcome(message: str) -> Outcome | None:
    """The trainer's outcome; None if the message is something else, such as the end of a log.

    A newer trainer may give a reason that this version does not know; its outcome still counts.
    """
    try:
        document = json.loads(message.strip().rpartition("\n")[2]) if message else None
        return read_tolerantly(Outcome, document, _instead(document))[0] if isinstance(document, dict) else None
    except ValueError:  # not JSON, or not an outcome (pydantic's ValidationError is a ValueError)
        return None


def _instead(document: Raw) -> Raw:
    """Replacements for fields of an outcome that this version cannot read."""
    reasons = {Verdict.DONE: Reason.REACHED_MAX_ITERATIONS, Verdict.STOPPED: Reason.INTERRUPTED}
    return {"reason": reasons.get(document.get("outcome", ""), Reason.TRAINER_CRASHED), "progress": {}}


def later(moment: datetime, seconds: float) -> datetime:
    """The moment that many seconds later."""
    return moment + timedelta(seconds=seconds)
