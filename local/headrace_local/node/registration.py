"""The Node object, which brings pods here, and its heartbeats, which show the cluster that the node is alive."""

import asyncio
import logging
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from headrace_kube.client import MERGE_PATCH, STRATEGIC_MERGE_PATCH, Client
from headrace_kube.errors import KubeError, StatusError
from headrace_local.node.addresses import HOST_IP
from headrace_local.node.status import timestamp

logger = logging.getLogger(__name__)

# Renewals per lease duration: the ratio of a kubelet's 40 s and 10 s.
RENEWALS = 4
# After this many renewals, write the conditions too, in case the node was declared unknown.
RENEWALS_PER_STATUS = 5


def node_object(
    name: str, logs_port: int, resources: Mapping[str, str], taints: Mapping[str, str], now: datetime
) -> dict[str, Any]:
    """The Node that a kubelet on this machine would register; `taints` (key to value) keep other pods away."""
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [{"key": key, "value": value, "effect": "NoSchedule"} for key, value in taints.items()]},
        "status": node_status(name, logs_port, resources, now),
    }


def node_status(name: str, logs_port: int, resources: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Capacity, addresses, the port of the logs server, and conditions that say Ready."""
    conditions = [
        _condition("MemoryPressure", "False", "KubeletHasSufficientMemory", now),
        _condition("DiskPressure", "False", "KubeletHasNoDiskPressure", now),
        _condition("PIDPressure", "False", "KubeletHasSufficientPID", now),
        _condition("Ready", "True", "KubeletReady", now),
    ]
    return {
        "capacity": dict(resources),
        "allocatable": dict(resources),
        "conditions": conditions,
        "addresses": [{"type": "InternalIP", "address": HOST_IP}, {"type": "Hostname", "address": name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": logs_port}},
        "nodeInfo": {
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
            "kernelVersion": platform.release(),
            "osImage": "process node",
            "containerRuntimeVersion": "process://1",
            "kubeletVersion": "v1.35.4",
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": platform.machine(),
        },
    }


async def register(api: Client, node: Mapping[str, Any]) -> None:
    """Create the Node, or update the one of an earlier agent."""
    name = node["metadata"]["name"]
    try:
        await api.request("POST", "/api/v1/nodes", node)
    except StatusError as error:
        if error.status != 409:
            raise
        labels = {"metadata": {"labels": node["metadata"]["labels"]}}
        await api.request("PATCH", f"/api/v1/nodes/{name}", labels, MERGE_PATCH)
        await api.request("PATCH", f"/api/v1/nodes/{name}/status", {"status": node["status"]}, STRATEGIC_MERGE_PATCH)


async def keep_alive(api: Client, name: str, lease_seconds: int) -> None:
    """Renew the node's Lease and, less often, its Ready condition, forever."""
    await _hold_lease(api, name, lease_seconds)
    count = 0
    while True:
        await asyncio.sleep(lease_seconds / RENEWALS)
        count += 1
        try:
            await _renew(api, name)
            if count % RENEWALS_PER_STATUS == 0:
                now = datetime.now(UTC)
                ready = {"status": {"conditions": [_condition("Ready", "True", "KubeletReady", now)]}}
                await api.request("PATCH", f"/api/v1/nodes/{name}/status", ready, STRATEGIC_MERGE_PATCH)
        except KubeError as error:
            logger.warning("heartbeat of node %s failed: %s", name, error)


async def _hold_lease(api: Client, name: str, lease_seconds: int) -> None:
    spec = {"holderIdentity": name, "leaseDurationSeconds": lease_seconds, "renewTime": _micro(datetime.now(UTC))}
    lease = {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec}
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    while True:
        try:
            await api.request("POST", leases, lease)
            return
        except StatusError as error:
            if error.status == 409:
                await api.request("PATCH", f"{leases}/{name}", {"spec": spec}, MERGE_PATCH)
                return
            if error.status != 404:  # a new cluster creates the namespace a moment after it is ready
                raise
        await asyncio.sleep(0.5)


async def _renew(api: Client, name: str) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"
    await api.request("PATCH", path, {"spec": {"renewTime": _micro(datetime.now(UTC))}}, MERGE_PATCH)


def _micro(moment: datetime) -> str:
    """A MicroTime, the format of times in a Lease."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _condition(kind: str, status: str, reason: str, now: datetime) -> dict[str, str]:
    stamp = timestamp(now)
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "process node",
        "lastHeartbeatTime": stamp,
        "lastTransitionTime": stamp,
    }
