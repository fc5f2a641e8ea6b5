"""Fluent builders of API objects: `make_job("a").project("p").running().obj()`.

They return what an API server would: parsed JSON, as `state.job_from` and `state.pod_from` read it.
"""

import itertools
import uuid
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from headrace_api import names
from headrace_api.names import Reason, State
from headrace_api.report import Outcome, Verdict
from headrace_api.trainingjob import Checkpoint, Progress
from headrace_operator.clock import timestamp
from headrace_operator.state import Job, Pod, job_from, pod_from

Json = dict[str, Any]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The time at which the builders start."""

_versions = itertools.count(1)


def seconds(after: float) -> datetime:
    """This many seconds after EPOCH."""
    return EPOCH + timedelta(seconds=after)


def manifest(name: str, project: str = "p", namespace: str = "ns", **spec: Any) -> Json:
    """A TrainingJob as a user applies it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "project": project,
            "dataset": {"uri": "s3://datasets/digits/"},
            "storage": {"secretRef": {"name": "headrace-storage"}},
            "output": {"uri": "s3://runs/"},
            "model": {"heads": [{"name": "boxes", "annotations": "instances", "objectDetection": {}}]},
            **spec,
        },
    }


class JobBuilder:
    """A TrainingJob on the API server."""

    def __init__(self, name: str) -> None:
        self.raw = manifest(name)
        self.raw["metadata"] |= {
            "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
            "resourceVersion": str(next(_versions)),
            "generation": 1,
            "creationTimestamp": timestamp(EPOCH),
        }
        self.raw["status"] = {}

    def project(self, project: str) -> Self:
        self.raw["spec"]["project"] = project
        return self

    def created(self, after: float) -> Self:
        self.raw["metadata"]["creationTimestamp"] = timestamp(seconds(after))
        return self

    def spec(self, **fields: Any) -> Self:
        """Sets fields of the spec, in the API's names; None removes one."""
        for field, value in fields.items():
            if value is None:
                self.raw["spec"].pop(field, None)
            else:
                self.raw["spec"][field] = value
        return self

    def stop(self) -> Self:
        return self.spec(stop=True)

    def suspend(self) -> Self:
        return self.spec(suspend=True)

    def deleting(self) -> Self:
        self.raw["metadata"]["deletionTimestamp"] = timestamp(EPOCH)
        return self

    def status(self, **fields: Any) -> Self:
        """Sets fields of the status, in the API's names."""
        self.raw["status"] |= fields
        return self

    def state(self, state: State, reason: Reason | None = None) -> Self:
        return self.status(state=str(state), **({"reason": str(reason)} if reason else {}))

    def running(self, attempt: int = 1) -> Self:
        pod = f"{self.raw['metadata']['name']}-{attempt}"
        return self.state(State.RUNNING, Reason.TRAINING).status(attempts=attempt, restarts=attempt - 1, pod=pod)

    def over(self, state: State = State.DONE, at: float = 0) -> Self:
        return self.state(state).status(completionTime=timestamp(seconds(at)))

    def failed_once(self, attempt: int = 1, charged: bool = True, next_at: float | None = None) -> Self:
        """Has finished an attempt and waits for the next."""
        last = {
            "number": attempt,
            "reason": "TrainerCrashed",
            "message": "boom",
            "charged": charged,
            "finishedTime": timestamp(EPOCH),
        }
        self.state(State.QUEUED, Reason.WAITING_FOR_RETRY).status(attempts=attempt, failures=int(charged), lastAttempt=last)
        return self.status(nextAttemptTime=timestamp(seconds(next_at))) if next_at is not None else self

    def obj(self) -> Json:
        return deepcopy(self.raw)

    def view(self) -> Job:
        """As the operator sees it."""
        return job_from(self.obj())


def make_job(name: str) -> JobBuilder:
    """A job of project "p" in namespace "ns", created at EPOCH."""
    return JobBuilder(name)


class PodBuilder:
    """A trainer pod on the API server."""

    def __init__(self, job: JobBuilder, attempt: int) -> None:
        owner = job.raw
        name = f"{owner['metadata']['name']}-{attempt}"
        self.raw: Json = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": owner["metadata"]["namespace"],
                "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"pod {name}")),
                "resourceVersion": str(next(_versions)),
                "creationTimestamp": timestamp(EPOCH),
                "labels": {
                    names.LABEL_MANAGED_BY: names.MANAGED_BY,
                    names.LABEL_PROJECT: owner["spec"]["project"],
                    names.LABEL_JOB: owner["metadata"]["name"],
                    names.LABEL_ATTEMPT: str(attempt),
                },
                "ownerReferences": [
                    {
                        "apiVersion": owner["apiVersion"],
                        "kind": owner["kind"],
                        "name": owner["metadata"]["name"],
                        "uid": owner["metadata"]["uid"],
                        "controller": True,
                    }
                ],
            },
            "spec": {},
            "status": {"phase": "Pending", "conditions": []},
        }

    def gated(self) -> Self:
        self.raw["spec"]["schedulingGates"] = [{"name": names.SCHEDULING_GATE}]
        return self

    def scheduled(self, node: str = "node-1") -> Self:
        self.raw["spec"]["nodeName"] = node
        return self._condition("PodScheduled", "True")

    def unschedulable(self, message: str) -> Self:
        return self._condition("PodScheduled", "False", "Unschedulable", message)

    def waiting(self, reason: str, message: str = "") -> Self:
        return self.scheduled()._container({"waiting": {"reason": reason, "message": message}})

    def ready(self) -> Self:
        self.scheduled()._container({"running": {}})._condition("Ready", "True")
        self.raw["status"] |= {"phase": "Running", "podIP": "127.0.0.9"}
        return self

    def not_ready(self) -> Self:
        return self.ready()._condition("Ready", "False")

    def disrupted(self, reason: str = "EvictionByEvictionAPI") -> Self:
        return self._condition("DisruptionTarget", "True", reason)

    def deleting(self, grace_over_at: float = 30) -> Self:
        self.raw["metadata"]["deletionTimestamp"] = timestamp(seconds(grace_over_at))
        return self

    def pod_failed(self, reason: str, message: str = "") -> Self:
        """The pod failed although its container did not end: evicted, or refused by the kubelet."""
        self.raw["status"] |= {"phase": "Failed", "reason": reason, "message": message}
        return self

    def exited(self, code: int, message: str = "", reason: str = "", at: float = 0) -> Self:
        reason = reason or ("Completed" if code == 0 else "Error")
        terminated = {"exitCode": code, "reason": reason, "message": message, "finishedAt": timestamp(seconds(at))}
        self.scheduled()._container({"terminated": terminated})
        self.raw["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        return self

    def ended(self, verdict: Verdict, reason: Reason, code: int = 0, message: str = "", iteration: int = 7) -> Self:
        """Exited with an outcome."""
        return self.exited(code, outcome(verdict, reason, message, iteration))

    def _container(self, state: Json) -> Self:
        self.raw["status"]["containerStatuses"] = [{"name": names.CONTAINER, "state": state}]
        return self

    def _condition(self, kind: str, status: str, reason: str = "", message: str = "") -> Self:
        conditions = [c for c in self.raw["status"]["conditions"] if c["type"] != kind]
        conditions.append({"type": kind, "status": status, "reason": reason, "message": message})
        self.raw["status"]["conditions"] = conditions
        return self

    def obj(self) -> Json:
        return deepcopy(self.raw)

    def view(self) -> Pod:
        """As the operator sees it."""
        return pod_from(self.obj())


def make_pod(job: JobBuilder, attempt: int = 1) -> PodBuilder:
    """The pod of an attempt, ungated but not scheduled."""
    return PodBuilder(job, attempt)


def outcome(verdict: Verdict, reason: Reason, message: str = "", iteration: int = 7) -> str:
    """A trainer's termination message."""
    return Outcome(
        outcome=verdict,
        reason=reason,
        message=message,
        progress=Progress(iteration=iteration, max_iterations=10, percentage=iteration * 10),
        checkpoint=Checkpoint(uri=f"s3://runs/x/checkpoints/{iteration:08d}/", iteration=iteration) if iteration else None,
    ).to_termination_message()
