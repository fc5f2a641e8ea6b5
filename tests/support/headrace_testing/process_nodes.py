"""A process node for tests, pods for it, and a record of everything that a watcher of those pods saw."""

import contextlib
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
from kubernetes import client

from headrace_local.access import ClusterAccess
from headrace_local.node.launch import start_node
from headrace_local.processes import Process
from headrace_testing.typed_client import typed_client

IMAGES = {"busybox": (), "greeter": ("sh", "-c", "echo hello $0"), "python": (sys.executable,)}
MESSAGE_ENV = [{"name": "MESSAGE", "value": "/dev/termination-log"}]

Json = dict[str, Any]
# What a pod needs to be placed on such a node; other pods don't have it, because tests share one cluster.
TAINT = "headrace.dev/test-node"
# A pod that no scheduler places: the last one that a PodWatch sees.
_LAST: Json = {
    "metadata": {"name": "end-of-watch"},
    "spec": {"schedulerName": "none", "containers": [{"name": "c", "image": "none"}]},
}


@dataclass
class NodeForTests:
    """A running process node for one test."""

    cluster: ClusterAccess
    name: str
    gpus: int
    images: Mapping[str, Sequence[str]]
    process: Process

    @classmethod
    def start(cls, cluster: ClusterAccess, *, gpus: int = 2, images: Mapping[str, Sequence[str]]) -> Self:
        name = f"node-{secrets.token_hex(4)}"
        return cls(cluster, name, gpus, images, cls._run(cluster, name, gpus, images))

    def restart(self) -> None:
        """A new agent for the same Node, after the last one ended."""
        self.process = self._run(self.cluster, self.name, self.gpus, self.images)

    def stop(self) -> None:
        """End the agent and remove the Node."""
        if self.process.running:
            self.process.stop()
        self.cluster.kubectl("delete", "node", self.name, "--ignore-not-found", "--wait=false")

    def pod(self, script: str = "", **spec: Any) -> Json:
        """A pod for this node: one container `c` that runs a shell script, plus other fields of the pod's spec.

        Fields of the container go into `container`.
        """
        container = {"name": "c", "image": "busybox", "command": ["sh", "-c", script], **spec.pop("container", {})}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"pod-{secrets.token_hex(4)}", **spec.pop("metadata", {})},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 10,
                "nodeSelector": {"kubernetes.io/hostname": self.name},
                "tolerations": [{"key": TAINT, "operator": "Exists"}],
                "containers": [container],
                **spec,
            },
        }

    @staticmethod
    def _run(cluster: ClusterAccess, name: str, gpus: int, images: Mapping[str, Sequence[str]]) -> Process:
        options = ["--taint", f"{TAINT}={name}", "--cpu", "64"]
        return start_node(cluster, name, gpus=gpus, images=images, options=options)


@dataclass
class PodWatch:
    """Every pod event in one namespace, in the order in which they arrived."""

    core: client.CoreV1Api
    namespace: str
    events: list[tuple[str, Json]] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    @classmethod
    @contextlib.contextmanager
    def open(cls, cluster: ClusterAccess, namespace: str) -> Iterator[Self]:
        with typed_client(cluster) as api:
            self = cls(client.CoreV1Api(api), namespace)
            listing: Any = self.core.list_namespaced_pod(namespace)
            stream: Any = self.core.list_namespaced_pod(
                namespace, watch=True, resource_version=listing.metadata.resource_version, _preload_content=False
            )
            thread = threading.Thread(target=self._follow, args=(stream,))
            thread.start()
            try:
                yield self
            finally:
                # A connection that another thread closes in the middle of a read ends in one of many errors. So the reader
                # closes it, when it sees this pod.
                self.create(_LAST)
                thread.join()

    def create(self, pod: Any) -> str:
        """Create a pod; returns its name."""
        self.core.create_namespaced_pod(self.namespace, pod)
        name: str = pod["metadata"]["name"]
        return name

    def delete(self, name: str, grace_seconds: int | None = None) -> None:
        self.core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=grace_seconds)

    def of(self, name: str) -> list[tuple[str, Json]]:
        """The events of one pod."""
        return [(kind, pod) for kind, pod in self.events if pod["metadata"]["name"] == name]

    def until(self, name: str, met: Callable[[str, Json], bool], timeout: float = 30) -> Json:
        """The first pod object, in the order of events, that meets a condition.

        Raises:
            TimeoutError: not met in time; shows what was seen.
        """
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for kind, pod in self.of(name):
                    if met(kind, pod):
                        return pod
                left = deadline - time.monotonic()
                if left <= 0:
                    seen = "\n".join(f"{kind} {pod.get('status')}" for kind, pod in self.of(name))
                    raise TimeoutError(f"pod {name} after {timeout} s:\n{seen}")
                self._news.wait(left)

    def until_phase(self, name: str, *phases: str) -> Json:
        return self.until(name, lambda _kind, pod: pod["status"].get("phase") in phases)

    def until_ready(self, name: str) -> Json:
        return self.until(name, lambda _kind, pod: ready(pod))

    def until_waiting(self, name: str, reason: str) -> Json:
        """Waits until the container waits for this reason; returns its `waiting` state."""
        pod = self.until(name, lambda _kind, pod: state_of(pod).get("waiting", {}).get("reason") == reason)
        waiting: Json = state_of(pod)["waiting"]
        return waiting

    def until_deleted(self, name: str) -> Json:
        return self.until(name, lambda kind, _pod: kind == "DELETED")

    def _follow(self, stream: Any) -> None:
        with contextlib.closing(stream):
            for line in iter(stream.readline, b""):
                event = json.loads(line)
                if event["object"]["metadata"]["name"] == _LAST["metadata"]["name"]:
                    return
                with self._news:
                    self.events.append((event["type"], event["object"]))
                    self._news.notify_all()


def state_of(pod: Json) -> Json:
    """The state of the pod's (first) container; empty while there is none."""
    statuses = pod["status"].get("containerStatuses", [])
    state: Json = statuses[0]["state"] if statuses else {}
    return state


def condition_of(pod: Json, kind: str) -> Json:
    """A condition of the pod by type; empty while there is none."""
    return next((item for item in pod["status"].get("conditions", []) if item["type"] == kind), {})


def ready(pod: Json) -> bool:
    return condition_of(pod, "Ready").get("status") == "True"


def handling_term(folder: Path, action: str = "printf why > $MESSAGE; exit 7") -> str:
    """A script that handles SIGTERM, and writes a file once it can: before that, as PID 1, it ignores the signal."""
    return f"trap '{action}' TERM; touch {folder}/armed; while :; do sleep 0.02; done"


def wait_until_armed(folder: Path) -> None:
    deadline = time.monotonic() + 20
    while not (folder / "armed").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def process_of(pod: dict[str, Any]) -> psutil.Process:
    """The main process of the pod's container."""
    return psutil.Process(int(pod["status"]["containerStatuses"][0]["containerID"].removeprefix("process://")))


def ended(process: psutil.Process, timeout: float = 10) -> bool:
    """Whether a process is gone within this many seconds."""
    return not psutil.wait_procs([process], timeout)[1]
