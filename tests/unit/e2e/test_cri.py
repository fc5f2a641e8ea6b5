from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from headrace_e2e import cri


class Runtime(grpc.GenericRpcHandler):
    """As much of a container runtime as a request for its version needs."""

    initialized = False

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(self.version) if call.method == "/runtime.v1.RuntimeService/Version" else None

    def version(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if not self.initialized:
            context.abort(grpc.StatusCode.UNKNOWN, "server is not initialized yet")
        return b""


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "runtime.sock"


@pytest.fixture
def runtime(socket: Path) -> Iterator[Runtime]:
    handler = Runtime()
    server = grpc.server(ThreadPoolExecutor(1), handlers=[handler])
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    yield handler
    server.stop(None).wait()


def test_a_socket_without_a_listener_does_not_serve(socket: Path) -> None:
    assert not cri.serves(socket)


def test_a_runtime_that_listens_serves_only_once_it_is_initialized(socket: Path, runtime: Runtime) -> None:
    assert not cri.serves(socket)
    runtime.initialized = True
    assert cri.serves(socket)
