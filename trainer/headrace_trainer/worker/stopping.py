"""SIGTERM, asked once and answered where it does no harm: between iterations while training, at once everywhere else."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(BaseException):
    """Unwinds what may be dropped at once. Not an `Exception`: like KeyboardInterrupt, nobody is to swallow it."""


class Stop:
    """Whether the supervisor has asked for the end.

    Between `install()` and the first `interruptible()` block a SIGTERM is only remembered in `requested`.
    """

    def __init__(self) -> None:
        self.requested = False
        self._interruptible = False

    def install(self) -> None:
        """Catch SIGTERM from now on, and SIGINT too: Ctrl-C reaches the whole process group of `headrace train`."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within, a stop raises StopRequested wherever the code is; on entry too, if it was asked before."""
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
            # Once: what cleans up on the way out is not to be interrupted itself.
            self._interruptible = False
            raise StopRequested
