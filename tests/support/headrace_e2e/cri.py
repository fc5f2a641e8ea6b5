"""Whether a container runtime serves the kubelet yet (Kubernetes' Container Runtime Interface, runtime.v1)."""

from pathlib import Path

import grpc


def serves(socket: Path) -> bool:
    """Asks what a kubelet asks first, and ends at if it is refused: the runtime's version.

    containerd's own API answers before its CRI service does, which says "server is not initialized yet" meanwhile.
    """
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        version = channel.unary_unary("/runtime.v1.RuntimeService/Version")
        try:
            version(b"", timeout=5)  # an empty VersionRequest, as protocol buffers write it
        except grpc.RpcError:
            return False
    return True
