"""Checks whether a container runtime is serving the kubelet yet (Kubernetes' Container Runtime Interface, runtime.v1)."""

from pathlib import Path

import grpc


def serves(socket: Path) -> bool:
    """Asks for the runtime's version, as a kubelet does first.

    containerd's own API answers before its CRI service, which until then says "server is not initialized yet".
    """
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        version = channel.unary_unary("/runtime.v1.RuntimeService/Version")
        try:
            version(b"", timeout=5)  # an empty VersionRequest, as protocol buffers write it
        except grpc.RpcError:
            return False
    return True
