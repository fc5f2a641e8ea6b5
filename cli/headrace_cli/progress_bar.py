"""The live line of `headrace train`, on stderr: phase, bar, time left, loss and scores; log lines scroll past above it."""

from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from headrace_api.report import TrainerStatus


class ProgressBar:
    """A context in which `update` moves the bar and `line` prints above it. Without a terminal it prints only the lines."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            TextColumn("{task.fields[phase]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[message]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=100, phase="Starting", left="", message="")

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def line(self, text: str) -> None:
        """Print a line of the log."""
        self._console.print(text, markup=False, style="dim", soft_wrap=True)

    def update(self, status: TrainerStatus) -> None:
        """Show the trainer's status."""
        progress = status.progress
        message = "; ".join(part for part in (status.message, progress.score) if part)
        self._progress.update(
            self._task,
            completed=progress.percentage,
            phase=status.phase.value,
            left=time_left_text(progress.estimated_remaining_seconds),
            message=message,
        )


def time_left_text(seconds: int | None) -> str:
    """ "0:12:30 left", or nothing if unknown."""
    return "" if seconds is None else f"{timedelta(seconds=seconds)} left"
