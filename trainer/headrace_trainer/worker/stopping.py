"""Handles SIGTERM where it does no harm: between iterations while training, immediately everywhere else."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(BaseException):
    """Unwinds work that may be dropped. Not an `Exception`, so that like KeyboardInterrupt it is not swallowed."""


class Stop:
    """Whether the supervisor has asked the worker to stop.

    Between `install()` and the first `interruptible()` block, a SIGTERM only sets `requested`.
    """

    def __init__(self) -> None:
        self.requested = False
        self._interruptible = False

    def install(self) -> None:
        """Catch SIGTERM from now on, and also SIGINT: Ctrl-C reaches the whole process group of `headrace train`."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Inside this block, a stop raises StopRequested at any point; also on entry, if it was requested before."""
        self._interruptible = True
        try:
            if self.requested:
                raise StopRequested
            yield
        finally:
            self._interruptible = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the handler's signature
        self.requested = True
        if self._interruptible:
            # Only once: clean-up on the way out must not be interrupted.
            self._interruptible = False
            raise StopRequested
