"""Finds what a pod needs and this node does not support, so that the node refuses the pod instead of half running it."""

from collections.abc import Iterator, Mapping
from typing import Any

from headrace_local.node.volumes import SUPPORTED

Json = Mapping[str, Any]


def unsupported(pod: Json) -> list[str]:
    """Everything in the pod that the process node does not support; empty for a pod it can run."""
    return [*_in_volumes(pod), *_in_pod(pod), *_in_containers(pod)]


def _in_volumes(pod: Json) -> Iterator[str]:
    for volume in pod["spec"].get("volumes", ()):
        kind = next((key for key in volume if key != "name"), "emptyDir")
        if kind not in SUPPORTED:
            yield f"volume {volume['name']!r} of type {kind} (supported: {', '.join(SUPPORTED)})"


def _in_pod(pod: Json) -> Iterator[str]:
    if pod["spec"].get("readinessGates"):
        yield "readinessGates"


def _in_containers(pod: Json) -> Iterator[str]:
    for container in pod["spec"].get("initContainers", ()):
        if container.get("restartPolicy") == "Always":
            yield f"init container {container['name']!r} with restartPolicy Always (a sidecar)"
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        name = container["name"]
        for hook, action in container.get("lifecycle", {}).items():
            if hook != "preStop" or "exec" not in action:
                yield f"container {name!r}: lifecycle.{hook} other than preStop.exec"
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if "grpc" in container.get(probe, {}):
                yield f"container {name!r}: {probe}.grpc"
        if any("subPathExpr" in mount for mount in container.get("volumeMounts", ())):
            yield f"container {name!r}: volumeMounts.subPathExpr"
