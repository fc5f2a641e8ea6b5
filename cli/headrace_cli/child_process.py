"""Runs a program as a child that gets every SIGTERM of this one, so that it can clean up behind itself."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO, Any

import typer

from headrace_api.names import ExitCode
from headrace_storage.stop import EXIT_AFTER_SIGTERM, holding_back

_INTERRUPTED = 130
"""The exit status that a shell gives a program that Ctrl-C ended."""


class Child:
    """A child that has been started."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @property
    def lines(self) -> IO[str]:
        """What it writes to stdout, if that is a pipe."""
        assert self._process.stdout is not None
        return self._process.stdout

    def wait(self) -> int:
        """Its exit status. A signal that killed it, other than SIGTERM, is a crash: ExitCode.FATAL."""
        code = self._process.wait()
        if code == -signal.SIGTERM:
            return EXIT_AFTER_SIGTERM
        return code if code >= 0 else ExitCode.FATAL


@contextmanager
def running_child(command: Sequence[str], **settings: Any) -> Iterator[Child]:
    """Start `command`; at the end of the block it has ended. Exits the whole program, with a shell's status, at Ctrl-C."""
    with holding_back():  # a signal between start and handler would leave the child alone
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, **settings)

        def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the handler's signature
            process.terminate()

        before = signal.signal(signal.SIGTERM, pass_on)
    try:
        with process:
            try:
                yield Child(process)
            except KeyboardInterrupt:  # the terminal signals the child, too
                process.wait()
                raise typer.Exit(_INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
