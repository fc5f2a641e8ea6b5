"""A proxy for an S3 server that fails as lines and servers do, and says when an upload has got somewhere.

It reads requests one by one (their headers and lengths), so a fault can hit one upload in its middle.
"""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_CHUNK = 1 << 16
_SMALL = 4096
"""Bodies up to this many bytes are left alone by `flips`: what they hold is checked by nothing but JSON's grammar."""


@dataclass
class Weather:
    """What is wrong with the line. Counters count down; change them at any time."""

    bytes_per_second: float | None = None
    """Of all connections together, in each direction."""
    delay_seconds: float = 0.0
    """Before each request."""
    cuts: int = 0
    """How many bodies, up or down, break off in their middle."""
    flips: int = 0
    """How many larger bodies, up or down, arrive with one bit changed."""
    unavailable: int = 0
    """How many requests are answered with 503."""
    unreadable: int = 0
    """How many requests are answered with 500 and a body that is no XML."""
    away: bool = False
    """New connections are closed at once, and requests on old ones are not answered."""


class FaultProxy:
    """Passes requests to `endpoint` (http://host:port)."""

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        self._target = (address.hostname or "127.0.0.1", address.port or 80)
        self.weather = Weather()
        self._random = random.Random(0)
        self._watches: list[tuple[str, int, Callable[[], None]]] = []
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self, seed: int) -> None:
        """Fair weather, nobody watches."""
        self.weather = Weather()
        self._random = random.Random(seed)
        with self._lock:
            self._watches.clear()

    def when_under_way(self, words: str, sent: int, act: Callable[[], None]) -> None:
        """Call `act` once, when `sent` bytes of a body have passed whose request line contains `words` ("PUT", "checkpoints/")."""
        with self._lock:
            self._watches.append((words, sent, act))

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, ValueError):
            if self.weather.away:
                return
            with socket.create_connection(self._target) as server:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                up, down = _Stream(client), _Stream(server)
                while self._exchange(up, down, client, server):
                    pass

    def _exchange(self, up: "_Stream", down: "_Stream", client: socket.socket, server: socket.socket) -> bool:
        """One request and its answer; whether the connection goes on."""
        if not (head := up.head()):
            return False
        weather = self.weather
        line = head.partition(b"\r\n")[0].decode(errors="replace")
        time.sleep(weather.delay_seconds)
        if weather.away:
            return False
        for counter, status, body in (
            ("unavailable", b"503 Slow Down", b"<Error><Code>SlowDown</Code><Message>told to</Message></Error>"),
            ("unreadable", b"500 Internal Server Error", b"<Error><Code>Inter\xff"),
        ):
            if self._take(counter):
                for _ in up.body(_length(head)):
                    pass
                answer = b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s"
                client.sendall(answer % (status, len(body), body))
                return True
        server.sendall(head)
        if not self._pass_on(up, server, _length(head), line):
            return False
        head = down.head()
        client.sendall(head)
        status = head.split(b" ", 2)[1]
        bodiless = line.startswith("HEAD") or status in {b"204", b"304"}
        if b"transfer-encoding: chunked" in head.lower():
            client.sendall(down.until(b"0\r\n\r\n"))
            return True
        return self._pass_on(down, client, 0 if bodiless else _length(head), line.replace("GET", "GOT"))

    def _pass_on(self, source: "_Stream", sink: socket.socket, length: int, line: str) -> bool:
        """Pass on a body; False if it was cut."""
        cut = length > _SMALL and self._take("cuts")
        flip_at = self._random.randrange(length) if length > _SMALL and self._take("flips") else -1
        sent = 0
        self._tell(line, sent)
        for whole in source.body(length):
            data = bytearray(whole)
            if sent <= flip_at < sent + len(data):
                data[flip_at - sent] ^= 1 << self._random.randrange(8)
            self._wait_for_room(len(data))
            if cut and sent + len(data) > length // 2:
                sink.sendall(data[: max(0, length // 2 - sent)])
                return False
            sink.sendall(data)
            sent += len(data)
            self._tell(line, sent)
        return True

    def _take(self, counter: str) -> bool:
        with self._lock:
            left: int = getattr(self.weather, counter)
            setattr(self.weather, counter, max(0, left - 1))
        return left > 0

    def _tell(self, line: str, sent: int) -> None:
        with self._lock:
            now = [watch for watch in self._watches if sent >= watch[1] and all(word in line for word in watch[0].split())]
            self._watches = [watch for watch in self._watches if watch not in now]
        for _, _, act in now:
            act()

    def _wait_for_room(self, size: int) -> None:
        if (rate := self.weather.bytes_per_second) is None:
            return
        with self._lock:
            start = max(self._free_at, time.monotonic())
            self._free_at = start + size / rate
        time.sleep(max(0.0, start - time.monotonic()))


class _Stream:
    """What arrives on a socket, with what was read too much."""

    def __init__(self, source: socket.socket) -> None:
        self._source = source
        self._kept = b""

    def head(self) -> bytes:
        """A request's or an answer's header; empty at the end."""
        return self.until(b"\r\n\r\n")

    def until(self, end: bytes) -> bytes:
        """Everything up to `end`, included."""
        while end not in self._kept:
            if not (data := self._source.recv(_CHUNK)):
                return b""
            self._kept += data
        found, self._kept = self._kept.split(end, 1)
        return found + end

    def body(self, length: int) -> Iterator[bytes]:
        """The next `length` bytes, as they come."""
        while length > 0:
            data = self._kept[:length] or self._source.recv(min(_CHUNK, length))
            if not data:
                raise ConnectionError("the body ended early")
            self._kept = self._kept[len(data) :] if self._kept else b""
            length -= len(data)
            yield data


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


@contextmanager
def fault_proxy(endpoint: str) -> Iterator[FaultProxy]:
    """A proxy until the end of the block."""
    proxy = FaultProxy(endpoint)
    try:
        yield proxy
    finally:
        proxy.close()
