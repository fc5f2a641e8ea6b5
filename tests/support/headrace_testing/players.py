"""Plays the scheduler and the kubelet for pods on a real API server: a test decides what happens to a pod, and when.

The statuses are those that a real kubelet of Kubernetes 1.35 was observed to write.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kubernetes import client

from headrace_api import names
from headrace_api.names import Reason
from headrace_api.report import Verdict
from headrace_local.access import ClusterAccess
from headrace_testing.builders import manifest, outcome
from headrace_testing.typed_client import typed_client

Json = dict[str, Any]

WAIT_SECONDS = 15.0


def eventually(what: str, probe: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """The first true answer of `probe`; fails after this many seconds, showing what it waited for and the last answer."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}; last answer: {answer!r}"
        time.sleep(0.02)


class Player:
    """One namespace's user, scheduler and kubelet. The node it plays exists as an object only and takes no other pods."""

    def __init__(self, cluster: ClusterAccess, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.api = typed_client(cluster)
        self.core = client.CoreV1Api(self.api)
        self.jobs = client.CustomObjectsApi(self.api)
        self.node = f"player-{namespace}"
        taint = client.V1Taint(key="headrace.dev/played", effect="NoSchedule")
        self.core.create_node(client.V1Node(metadata=client.V1ObjectMeta(name=self.node), spec=client.V1NodeSpec(taints=[taint])))

    def close(self) -> None:
        """Removes the node, and with it any remaining pods."""
        for pod in self.pods():
            self.remove(pod["metadata"]["name"])
        if self.node_exists():
            self.core.delete_node(self.node)
        self.api.close()

    # --- The user ---------------------------------------------------------------------------------------------------

    def apply(self, name: str, project: str = "p", **spec: Any) -> Json:
        """Creates a job. Names decide the order of jobs created in the same second, so use alphabetical order."""
        return self._jobs("create", body=manifest(name, project, self.namespace, **spec))

    def change(self, name: str, **spec: Any) -> None:
        """Patches the spec."""
        self._jobs("patch", name=name, body={"spec": spec})

    def delete(self, name: str) -> None:
        """Deletes the job."""
        self._jobs("delete", name=name)

    def job(self, name: str) -> Json | None:
        """The job; None when there is none."""
        try:
            return self._jobs("get", name=name)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise

    def status(self, name: str) -> Json:
        """Its status."""
        return (self.job(name) or {}).get("status") or {}

    def await_state(self, name: str, state: str, reason: str | None = None) -> Json:
        """The job's status, once it is in this state."""

        def reached() -> Json | None:
            status = self.status(name)
            return status if status.get("state") == state and reason in (None, status.get("reason")) else None

        try:
            answer: Json = eventually(f"{name} is {state} {reason or ''}", reached)
        except AssertionError as error:
            raise AssertionError(f"{error}; its status: {self.status(name)}") from None
        return answer

    # --- The scheduler ----------------------------------------------------------------------------------------------

    def pods(self, project: str | None = None) -> list[Json]:
        """All existing trainer pods."""
        selector = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}" + (f",{names.LABEL_PROJECT}={project}" if project else "")
        answer: Any = self.core.list_namespaced_pod(self.namespace, label_selector=selector, _preload_content=False)
        items: list[Json] = json.loads(answer.data)["items"]
        return items

    def pod(self, name: str) -> Json | None:
        """The pod; None when there is none."""
        return next((pod for pod in self.pods() if pod["metadata"]["name"] == name), None)

    def await_pod(self, name: str, gone: str = "") -> Json:
        """The pod, once it exists without its gate; with `gone`, a pod other than the one with that uid."""

        def released() -> Json | None:
            pod = self.pod(name)
            return pod if pod and not pod["spec"].get("schedulingGates") and pod["metadata"]["uid"] != gone else None

        pod: Json = eventually(f"pod {name} is let go", released)
        return pod

    def schedule(self, name: str) -> None:
        """Binds the pod to the node."""
        self.await_pod(name)
        target = client.V1ObjectReference(api_version="v1", kind="Node", name=self.node)
        binding = client.V1Binding(metadata=client.V1ObjectMeta(name=name), target=target)
        self.core.create_namespaced_binding(self.namespace, binding, _preload_content=False)

    # --- The kubelet ------------------------------------------------------------------------------------------------

    def run(self, name: str, address: str = "") -> None:
        """Schedules the pod and makes it Ready, with an address if you give one."""
        self.schedule(name)
        if address:
            self._status(name, {"podIP": address, "podIPs": [{"ip": address}]})
        self.set_ready(name, True)

    def set_ready(self, name: str, ready: bool) -> None:
        """Its container runs; its readiness probe succeeds or fails, as you say."""
        self._container(name, {"running": {"startedAt": _now()}}, "Running", ready)

    def done_by_hand(self, job: str, wait: bool = True) -> None:
        """Takes the job's only attempt from its start to Done."""
        self.run(f"{job}-1")
        self.done(f"{job}-1")
        if wait:
            self.await_state(job, "Done")

    def wait_in_container(self, name: str, reason: str, message: str) -> None:
        """Its container cannot start."""
        self._container(name, {"waiting": {"reason": reason, "message": message}}, "Pending", False)

    def exit(self, name: str, code: int, message: str = "", reason: str = "") -> None:
        """Its container ends; if the pod is being deleted, it goes."""
        reason = reason or ("Completed" if code == 0 else "Error")
        terminated = {"exitCode": code, "reason": reason, "message": message, "startedAt": _now(), "finishedAt": _now()}
        self._container(name, {"terminated": terminated}, "Succeeded" if code == 0 else "Failed", False)
        pod = self.pod(name)
        if pod and "deletionTimestamp" in pod["metadata"]:
            self.remove(name)

    def end(self, name: str, verdict: Verdict, reason: Reason, code: int = 0, message: str = "", iteration: int = 7) -> None:
        """Its trainer ends with an outcome."""
        self.exit(name, code, outcome(verdict, reason, message, iteration))

    def done(self, name: str) -> None:
        """Its trainer completed its iterations."""
        self.end(name, Verdict.DONE, Reason.REACHED_MAX_ITERATIONS, iteration=10)

    def condition(self, name: str, kind: str, status: str, reason: str) -> None:
        """Sets a condition of the pod."""
        self._status(name, {"conditions": [{"type": kind, "status": status, "reason": reason, "lastTransitionTime": _now()}]})

    def await_told_to_end(self, name: str) -> Json:
        """The pod, once it is being deleted (when its kubelet would send SIGTERM)."""

        def told() -> Json | None:
            pod = self.pod(name)
            return pod if pod and "deletionTimestamp" in pod["metadata"] else None

        pod: Json = eventually(f"pod {name} is being deleted", told)
        return pod

    def remove(self, name: str) -> None:
        """Removes the pod object by force."""
        try:
            self.core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0, _preload_content=False)
        except client.ApiException as error:
            if error.status != 404:
                raise

    def lose_node(self) -> None:
        """An administrator deletes the node."""
        self.core.delete_node(self.node)

    def node_exists(self) -> bool:
        """Whether the node's object exists."""
        answer: Any = self.core.list_node(field_selector=f"metadata.name={self.node}", _preload_content=False)
        return bool(json.loads(answer.data)["items"])

    # --- Requests ---------------------------------------------------------------------------------------------------

    def _container(self, name: str, state: Json, phase: str, ready: bool) -> None:
        container = {
            "name": names.CONTAINER,
            "state": state,
            "ready": ready,
            "restartCount": 0,
            "image": "trainer",
            "imageID": "",
            "started": ready,
        }
        condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": _now()}
        self._status(name, {"phase": phase, "containerStatuses": [container], "conditions": [condition]})

    def _status(self, name: str, status: Json) -> None:
        self.core.patch_namespaced_pod_status(name, self.namespace, {"status": status}, _preload_content=False)

    def _jobs(self, verb: str, **arguments: Any) -> Json:
        method = getattr(self.jobs, f"{verb}_namespaced_custom_object")
        answer: Json = method(group=names.GROUP, version=names.VERSION, namespace=self.namespace, plural=names.PLURAL, **arguments)
        return answer


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
