"""SIGTERM as a value that any thread can read or wait for."""

import os
import select
import signal
import time
from types import FrameType


class Stop:
    """Whether, when and how often someone asked the process to end.

    The signal handler only assigns and writes to a pipe: one that takes a lock can deadlock with the very code it interrupted.
    """

    def __init__(self) -> None:
        self.times = 0
        self.requested_at = 0.0
        """`time.monotonic()` of the first request."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    @property
    def requested(self) -> bool:
        """SIGTERM arrived: shut down cleanly, within the grace period."""
        return self.times > 0

    @property
    def hurry(self) -> bool:
        """It arrived twice: end now."""
        return self.times > 1

    def request(self) -> None:
        """Ask the process to end; the second time, without waiting."""
        first = self.times == 0
        if first:
            self.requested_at = time.monotonic()
        self.times += 1
        if first:  # last: a thread that wakes must find it requested
            os.write(self._write, b"!")

    def wait(self, seconds: float) -> bool:
        """Sleep for `seconds`, or until someone asks the process to end; returns `requested`."""
        # poll, not select: descriptors above 1023 break select.
        waiting = select.poll()
        waiting.register(self._read, select.POLLIN)
        waiting.poll(max(0.0, seconds) * 1000)
        return self.requested

    def install(self) -> None:
        """Handle SIGTERM and SIGINT (Ctrl-C) from now on."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._read)
        os.close(self._write)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the handler's signature
        self.request()


class StoppedError(Exception):
    """Someone asked the process to end during work that need not be finished."""
