"""The log of an attempt: every line goes to stdout (kubectl logs) immediately, and is kept here until it is uploaded."""

import sys
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

_MOST_PENDING_BYTES = 16 << 20
"""How much is kept while the store is unavailable; beyond that the oldest lines are dropped, and a line says how many."""


def utc_now() -> str:
    """The current time as Kubernetes writes it: RFC 3339, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Stream(Protocol):
    """Where lines are written immediately."""

    def write(self, text: str, /) -> int:
        """Like TextIO."""

    def flush(self) -> None:
        """Like TextIO."""


class Journal:
    """Takes lines from any thread."""

    def __init__(self, stream: Stream | None = None, now: Callable[[], str] = utc_now, tail: int = 20) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._now = now
        self._lock = threading.Lock()
        self._pending: deque[str] = deque()
        self._pending_bytes = 0
        self._dropped = 0
        self._worker_tail: deque[str] = deque(maxlen=tail)

    def say(self, text: str) -> None:
        """Log a line from the supervisor."""
        self._add(f"{self._now()} supervisor: {text}\n")

    def worker_line(self, text: str) -> None:
        """Log a line that the worker wrote to stdout or stderr."""
        self._worker_tail.append(text)
        self._add(f"{self._now()} worker: {text}\n")

    def worker_tail(self) -> list[str]:
        """The last lines of the worker, for the message of a crash."""
        return [line for line in self._worker_tail if line.strip()]

    def take(self) -> bytes:
        """Remove and return the lines not uploaded yet."""
        with self._lock:
            lines = list(self._pending)
            if self._dropped:
                gap = f"{self._dropped} lines are missing here: the store was unavailable for too long"
                lines.insert(0, f"{self._now()} supervisor: {gap}\n")
            self._pending.clear()
            self._pending_bytes, self._dropped = 0, 0
        return "".join(lines).encode(errors="replace")

    def _add(self, line: str) -> None:
        with self._lock:
            self._pending.append(line)
            self._pending_bytes += len(line)
            while self._pending_bytes > _MOST_PENDING_BYTES:
                self._pending_bytes -= len(self._pending.popleft())
                self._dropped += 1
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):
                pass  # the reader of our stdout is gone; the run folder still gets the line
