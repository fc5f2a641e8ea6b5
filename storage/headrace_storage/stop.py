"""SIGTERM as a value that any thread can read or wait for."""

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

STOPPING_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
EXIT_AFTER_SIGTERM = 128 + signal.SIGTERM
"""The exit status that a shell gives a program that SIGTERM ended."""


def hold_back() -> None:
    """Keep SIGTERM and SIGINT waiting until `let_through`, for the time before there is a handler.

    A process that this one starts begins the same way, and so cannot be ended before it has installed its own handler.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING_SIGNALS)


def let_through() -> None:
    """Deliver what `hold_back`, here or in the parent, kept waiting, and everything after it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING_SIGNALS)


def ignore_from_now_on() -> None:
    """Ignore SIGTERM and SIGINT, once everything is done and the exit code is decided.

    As it ends, Python takes its own handlers away, and a late signal would replace the exit code; this one it leaves alone.
    """
    for number in STOPPING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def holding_back() -> Iterator[None]:
    """A block in which signals wait: one that starts a child and does not know it yet, for example."""
    hold_back()
    try:
        yield
    finally:
        let_through()


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
        """Handle SIGTERM and SIGINT (Ctrl-C) from now on, and those that a parent held back for us."""
        for number in STOPPING_SIGNALS:
            signal.signal(number, self._on_signal)
        let_through()

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._read)
        os.close(self._write)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the handler's signature
        self.request()


class StoppedError(Exception):
    """Someone asked the process to end during work that need not be finished."""


def exit_on_sigterm(stop: Stop) -> None:
    """From now on SIGTERM raises SystemExit, so that `with` blocks clean up behind a program that has nothing to save.

    It also requests `stop`, which ends what other threads do: cleaning up waits for them.
    """

    def leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the handler's signature
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # cleaning up must not be interrupted
        stop.request()
        sys.exit(EXIT_AFTER_SIGTERM)

    signal.signal(signal.SIGTERM, leave)
    let_through()
