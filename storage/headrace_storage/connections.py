"""Connections to a store that give up when no byte moves, however slow the line is.

http.client sends a bytes body with one `sendall`, and a socket's timeout bounds that whole call: a large body on a slow line would
always time out. These connections send small blocks, so the timeout bounds each block.
"""

import contextlib
import socket
from typing import Any

import urllib3
import urllib3.connection
import urllib3.connectionpool

from headrace_storage.traffic import Traffic

CONNECT_SECONDS = 5.0
STALL_SECONDS = 30.0
"""A request ends when no byte of it, or of its response, has moved for so long."""
ANSWER_SECONDS = 120.0
"""The same for the answer to a body of more than a block: its last bytes may still be on the way, and the store has to write it."""
_BLOCK_BYTES = 16 << 10
_AHEAD_BYTES = 128 << 10
"""How much the kernel accepts before it can send it. What it has accepted counts as sent, so this must be little."""


def connection_pools(traffic: Traffic, connections: int, stall_seconds: float = STALL_SECONDS) -> urllib3.PoolManager:
    """Pools of up to `connections` connections to a host, without retries: those are in retry.py, which reports them and obeys
    SIGTERM."""

    class Http(_InBlocks, urllib3.connection.HTTPConnection):
        pass

    class Https(_InBlocks, urllib3.connection.HTTPSConnection):
        pass

    for kind in (Http, Https):
        kind.traffic, kind.stall_seconds = traffic, stall_seconds

    class HttpPool(urllib3.connectionpool.HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(urllib3.connectionpool.HTTPSConnectionPool):
        ConnectionCls = Https

    pools = urllib3.PoolManager(
        maxsize=connections, timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=stall_seconds), retries=False
    )
    pools.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
    return pools


class _InBlocks:
    """Mixed into urllib3's connections."""

    traffic: Traffic
    stall_seconds: float
    sock: Any
    timeout: Any
    _since_answer = 0

    def connect(self) -> None:
        """Connect within the connect timeout."""
        super().connect()  # type: ignore[misc]
        # Not everywhere: macOS has another number for it, and some kernels refuse it.
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _AHEAD_BYTES)

    def send(self, data: Any) -> None:
        """Send `data` in blocks; raises TimeoutError if one does not leave within `stall_seconds`."""
        if not isinstance(data, bytes | bytearray | memoryview):
            super().send(data)  # type: ignore[misc]
            return
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.stall_seconds)
        view = memoryview(data)
        for start in range(0, len(view), _BLOCK_BYTES):
            block = view[start : start + _BLOCK_BYTES]
            super().send(block)  # type: ignore[misc]
            self.traffic.add(len(block))
            self._since_answer += len(block)

    def getresponse(self) -> Any:
        """Wait for the answer, longer after a large body."""
        if self._since_answer > _BLOCK_BYTES and self.timeout is not None:
            self.timeout = max(self.timeout, ANSWER_SECONDS)
        self._since_answer = 0
        return super().getresponse()  # type: ignore[misc]
