"""SIGTERM as a value that any thread may look at or wait for."""

import os
import select
import signal
import time
from types import FrameType


class Stop:
    """Whether, when and how often the end was asked for.

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
        """SIGTERM came: end in good order, within the grace period."""
        return self.times > 0

    @property
    def hurry(self) -> bool:
        """It came twice: end now."""
        return self.times > 1

    def request(self) -> None:
        """Ask for the end; the second time, for an end without waiting."""
        first = self.times == 0
        if first:
            self.requested_at = time.monotonic()
        self.times += 1
        if first:  # last: whoever wakes must find it requested
            os.write(self._write, b"!")

    def wait(self, seconds: float) -> bool:
        """Sleep for `seconds`, or until the end is asked for; returns `requested`."""
        # poll, not select: descriptors above 1023 break select.
        waiting = select.poll()
        waiting.register(self._read, select.POLLIN)
        waiting.poll(max(0.0, seconds) * 1000)
        return self.requested

    def install(self) -> None:
        """Take SIGTERM and SIGINT (Ctrl-C) from now on."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._read)
        os.close(self._write)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the handler's signature
        self.request()


class StoppedError(Exception):
    """The end was asked for while something was under way that need not be finished."""
