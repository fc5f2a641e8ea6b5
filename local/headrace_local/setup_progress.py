"""Steps of a set-up as people see them: what happens now, how far it is, and how long the rest takes at this machine's pace."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn

REPEAT_SECONDS = 30.0
PACE_SECONDS = 10.0
"""A shorter sample misleads: Go's own library begins with tiny packages. 2 s into a build of 46 s their pace suggested 10 s."""
BAR_FROM_COLUMNS = 110
"""On narrower terminals the words need the bar's place."""

Unit = Callable[[int, int | None], str]
"""Puts an amount done, of a total if that is known, into words."""


def packages(done: int, total: int | None) -> str:
    """`412 of 1,630 packages`"""
    return f"{done:,} packages" if total is None else f"{done:,} of {total:,} packages"


def megabytes(done: int, total: int | None) -> str:
    """`12 of 54 MB`, from bytes."""
    return f"{done / 1e6:.0f} MB" if total is None else f"{done / 1e6:.0f} of {total / 1e6:.0f} MB"


class Step:
    """A running step. The code that does its work reports here, either what it does or how much of it is done."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.outcome = "done"
        """The word at its end."""
        self._clock = clock
        self._begun = self._counted_from = clock()
        self._activity = ""
        self._unit: Unit | None = None
        self._done = 0
        self._total: int | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._begun

    @property
    def fraction(self) -> float | None:
        """The part that is done, 0 to 1, or None where no total is known."""
        return min(self._done / self._total, 1.0) if self._total else None

    @property
    def words(self) -> str:
        """`412 of 1,630 packages, about 3:10 left`. The time left is there once there is a pace to compute it from."""
        if self._activity:
            return self._activity
        if self._unit is None:
            return f"{_minutes(self.elapsed)} so far"
        amount = self._unit(self._done, self._total)
        seconds = self._clock() - self._counted_from
        if not self._total or not self._done or seconds < PACE_SECONDS:
            return amount
        return f"{amount}, about {_minutes(seconds / self._done * max(0, self._total - self._done))} left"

    def tell(self, activity: str) -> None:
        """Shows the current activity when there is nothing to count."""
        self._activity = activity

    def count(self, unit: Unit, total: int | None) -> None:
        """Starts counting: from now on `advance` reports how much of the total is done."""
        self._unit, self._done, self._total = unit, 0, total
        self._counted_from = self._clock()
        self._activity = ""

    def advance(self, done: int) -> None:
        """Reports how much is done in all since `count`."""
        self._done = done


class SetupProgress:
    """On a terminal one line per step, redrawn, with a bar where there is room; elsewhere a plain line every 30 s."""

    def __init__(self, console: Console | None = None, repeat_seconds: float = REPEAT_SECONDS) -> None:
        self.console = console or Console(file=sys.stderr, highlight=False)
        self._repeat_seconds = repeat_seconds
        bar: list[ProgressColumn] = [BarColumn(bar_width=24)] if self.console.width >= BAR_FROM_COLUMNS else []
        self._bars = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            *bar,
            TextColumn("{task.fields[words]}", markup=False),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        """Prints a line above the steps."""
        self.console.print(line, soft_wrap=True, markup=False)

    @contextmanager
    def step(self, description: str) -> Iterator[Step]:
        """Shows a step for as long as the block runs."""
        step = Step()
        task = self._bars.add_task(description, total=None, words="")
        ended = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(task, description, step, ended), daemon=True)
        ticker.start()
        try:
            yield step
        except BaseException:
            step.outcome = "failed"
            raise
        finally:
            ended.set()
            ticker.join()
            outcome = f"{step.outcome} after {_minutes(step.elapsed)}"
            self._bars.update(task, total=1, completed=1, words=outcome)
            if not self.console.is_terminal:
                self.say(f"{description}: {outcome}")

    def _tick(self, task: TaskID, description: str, step: Step, ended: threading.Event) -> None:
        if self.console.is_terminal:
            while not ended.wait(0.2):
                fraction = step.fraction
                # Just short of the end: only the end of the block means that the step is over.
                self._bars.update(task, total=None if fraction is None else 1, completed=min(fraction or 0, 0.99), words=step.words)
            return
        self.say(description)
        while not ended.wait(self._repeat_seconds):
            self.say(f"{description}: {step.words}")


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
