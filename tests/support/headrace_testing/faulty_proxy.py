"""A TCP proxy that fails as networks do: it refuses, hangs up, or cuts answers short, on demand."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class FaultyProxy:
    """Passes bytes to `endpoint` (http://host:port) and back. Change the attributes at any time to make it fail."""

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        assert address.hostname is not None
        self._target = (address.hostname, address.port or 80)
        self.down = False
        """Hang up on new and open connections."""
        self.answer_bytes: int | None = None
        """Hang up after this many bytes of answers on a connection."""
        self.upload_rate: float | None = None
        """Bytes per second that each connection passes to the store."""
        self.connections = 0
        """Connections accepted so far."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def go_down(self) -> None:
        """The store goes away: open connections break, and new ones are closed."""
        self.down = True
        self._hang_up()

    def come_back(self) -> None:
        """The store is back."""
        self.down = False

    def close(self) -> None:
        """Shuts the proxy down."""
        self.down = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            sockets = list(self._open)
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.down:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self.upload_rate:  # else the kernel takes in megabytes at once
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        with client, socket.create_connection(self._target) as server:
            with self._lock:
                self._open |= {client, server}
            # `down` may have been called since this connection was accepted, and `_hang_up` did not see its sockets.
            if not self.down:
                forth = threading.Thread(target=self._pump, args=(client, server, False), daemon=True)
                forth.start()
                self._pump(server, client, True)
                forth.join()
            with self._lock:
                self._open -= {client, server}

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                limit = self.answer_bytes if answers else None
                if limit is not None and passed + len(data) > limit:
                    sink.sendall(data[: limit - passed])
                    break
                sink.sendall(data)
                passed += len(data)
                if not answers and self.upload_rate:
                    time.sleep(len(data) / self.upload_rate)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def faulty_proxy(endpoint: str) -> Iterator[FaultyProxy]:
    """A proxy that is closed at the end of the block."""
    proxy = FaultyProxy(endpoint)
    try:
        yield proxy
    finally:
        proxy.close()
