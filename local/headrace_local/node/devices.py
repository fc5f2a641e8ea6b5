"""Assigns the node's GPUs to pods."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

GPU = "nvidia.com/gpu"


class NoDevicesError(Exception):
    """The pod requests more GPUs than are free. Only a pod that bypassed the scheduler can do so."""


class Devices:
    """`offered` GPU slots on the `real` GPUs of this machine (often 0; then the resource is only a counter)."""

    def __init__(self, offered: int, real: int) -> None:
        self._free = list(range(offered))
        self._real = real
        self._held: dict[str, list[int]] = {}

    def allocate(self, uid: str, count: int) -> dict[str, str]:
        """Give a pod its GPUs; returns the environment that shows them to CUDA. Raises NoDevicesError."""
        if count > len(self._free):
            raise NoDevicesError(
                f"Allocate failed due to requested number of devices unavailable for {GPU}. "
                f"Requested: {count}, Available: {len(self._free)}, which is unexpected"
            )
        self._held[uid] = [self._free.pop(0) for _ in range(count)]
        if not self._real:
            return {}
        # A node may offer more slots than GPUs (a demo of two jobs on one GPU); then slots share GPUs.
        return {"CUDA_VISIBLE_DEVICES": ",".join(str(slot % self._real) for slot in self._held[uid])}

    def release(self, uid: str) -> None:
        self._free = sorted(self._free + self._held.pop(uid, []))


def gpus_of(pod: Mapping[str, Any]) -> int:
    """How many GPUs the pod's containers request together."""
    limits = (container.get("resources", {}).get("limits", {}) for container in pod["spec"]["containers"])
    return sum(int(limit.get(GPU, 0)) for limit in limits)


def real_gpus() -> int:
    """The number of NVIDIA GPUs in this machine."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
