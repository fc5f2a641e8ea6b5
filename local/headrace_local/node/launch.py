"""Starts process nodes for a running cluster: `make up`, the demo and the tests."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from headrace_local.access import ClusterAccess
from headrace_local.node.addresses import HOST_IP
from headrace_local.processes import Process


def start_node(
    cluster: ClusterAccess, name: str, *, gpus: int, images: Mapping[str, Sequence[str]], options: Sequence[str] = ()
) -> Process:
    """Start a process node and wait until the scheduler may use it: Ready, and not tainted as not ready.

    Args:
        images: image names and their entrypoints.
        options: additional words for the command line, such as `("--cpu", "8")`.

    Raises:
        ProcessEndedError, TimeoutError: see `ClusterAccess.start`.
    """
    certificate, key = cluster.serving_certificate(name, HOST_IP)
    argv: list[str | Path] = [sys.executable, "-m", "headrace_local.node"]
    argv += ["--kubeconfig", cluster.node_kubeconfig(name), "--name", name]
    argv += ["--folder", cluster.folder / "nodes" / name, "--gpus", str(gpus)]
    argv += ["--serving-cert", certificate, "--serving-key", key, "--client-ca", cluster.ca_file]
    for image, words in images.items():
        argv += ["--image", f"{image}={shlex.join(words)}"]

    with cluster.api() as api:

        def schedulable() -> bool:
            node = api.find(f"/api/v1/nodes/{name}")
            if node is None or any(taint["key"].startswith("node.kubernetes.io/") for taint in node["spec"].get("taints", ())):
                return False
            return any(item["type"] == "Ready" and item["status"] == "True" for item in node["status"].get("conditions", ()))

        return cluster.start(name, [*argv, *options], ready=schedulable)
