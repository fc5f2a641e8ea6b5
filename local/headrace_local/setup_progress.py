"""Steps of a set-up as people see them: what happens now, since when, and how long it will take."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

REPEAT_SECONDS = 30.0


class Step:
    """A running step; `note` replaces the word at its end."""

    def __init__(self) -> None:
        self.outcome = "done"

    def note(self, outcome: str) -> None:
        self.outcome = outcome


class SetupProgress:
    """On a terminal one bar per step (elapsed against expected time); elsewhere plain lines, one each 30 s."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr, highlight=False)
        self._bars = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[times]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True)

    @contextmanager
    def step(self, description: str, expected_seconds: float) -> Iterator[Step]:
        """Shows a step for as long as the block runs."""
        step = Step()
        started = time.monotonic()
        task = self._bars.add_task(description, total=expected_seconds, times="")
        ended = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(task, description, started, expected_seconds, ended), daemon=True)
        ticker.start()
        try:
            yield step
        except BaseException:
            step.note("failed")
            raise
        finally:
            ended.set()
            ticker.join()
            took = _clock(time.monotonic() - started)
            self._bars.update(task, completed=expected_seconds, times=f"{step.outcome} in {took}")
            if not self.console.is_terminal:
                self.say(f"{description}: {step.outcome} in {took}")

    def _tick(self, task: TaskID, description: str, started: float, expected: float, ended: threading.Event) -> None:
        said = started - REPEAT_SECONDS
        while not ended.is_set():
            now = time.monotonic()
            times = f"{_clock(now - started)} of about {_clock(expected)}"
            if self.console.is_terminal:
                # A step that takes longer than expected stays just short of the end instead of claiming it.
                self._bars.update(task, completed=min(now - started, 0.99 * expected), times=times)
            elif now - said >= REPEAT_SECONDS:
                said = now
                self.say(f"{description}: {times}")
            ended.wait(0.2)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
