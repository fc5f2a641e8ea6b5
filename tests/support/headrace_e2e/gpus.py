"""Makes nodes offer GPUs that they do not have: the scheduler counts them, but no device is behind them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from headrace_api.names import RESOURCE_GPU
from headrace_local.access import ClusterAccess

Json = dict[str, Any]


def nodes(cluster: ClusterAccess) -> list[Json]:
    """All nodes of the cluster."""
    found: list[Json] = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    return found


def offers_gpus(node: Json) -> bool:
    """Whether the scheduler sees GPUs on the node."""
    return int(node["status"].get("allocatable", {}).get(RESOURCE_GPU, 0)) > 0


@contextmanager
def offered(cluster: ClusterAccess, count: int) -> Iterator[None]:
    """Makes every node offer `count` GPUs, unless some node offers GPUs already. A kubelet adopts its node's status.capacity."""
    names = [] if any(map(offers_gpus, nodes(cluster))) else [node["metadata"]["name"] for node in nodes(cluster)]
    for name in names:
        _patch(cluster, name, str(count))
    cluster.wait_until(lambda: any(map(offers_gpus, nodes(cluster))), "a node offers GPUs", 60)
    try:
        yield
    finally:
        for name in names:
            _patch(cluster, name, None)


def _patch(cluster: ClusterAccess, node: str, count: str | None) -> None:
    status = {"status": {"capacity": {RESOURCE_GPU: count}}}
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", json.dumps(status))
