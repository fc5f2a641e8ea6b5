"""The table of jobs, built from what was observed, with URIs as notes beneath it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from headrace_api.names import State
from headrace_local.demo.observer import Observed

STYLES = {
    State.QUEUED: "dim",
    State.STARTING: "yellow",
    State.RUNNING: "bold cyan",
    State.DONE: "green",
    State.STOPPED: "magenta",
    State.ERROR: "red",
}
BAR_WIDTH = 12
URI = re.compile(r"s3://\S*[^\s;,.]")


@dataclass(frozen=True)
class JobsTable:
    """The table, and a note for each URI that a job's message names: a URI that a cell folds cannot be copied."""

    table: Table
    notes: Sequence[str]

    def live(self) -> RenderableType:
        """The table for redrawing in place. A terminal narrower than a note cuts the note."""
        return Group(self.table, *(Text(note, no_wrap=True, overflow="ellipsis") for note in self.notes))

    def print(self, console: Console) -> None:
        """Prints the table for good. Each note is one line, whatever the width."""
        console.print(self.table)
        for note in self.notes:
            console.print(note, soft_wrap=True, markup=False, highlight=False)


def jobs_table(observed: Iterable[Observed], seconds: float) -> JobsTable:
    """All jobs after so many seconds, with state, progress and message."""
    table = Table(title=f"kubectl get trainingjobs -n demo    ({seconds:.0f} s)", title_justify="left", expand=True)
    table.add_column("project", no_wrap=True)
    table.add_column("job", no_wrap=True)
    table.add_column("state", min_width=8)
    table.add_column("iterations", min_width=BAR_WIDTH)
    table.add_column("message", ratio=1, overflow="fold")
    uris: list[str] = []

    def note_for(uri: re.Match[str]) -> str:
        uris.append(uri[0])
        return f"[{len(uris)}]"

    for entry in observed:
        state = entry.state
        message = URI.sub(note_for, entry.status.get("message", entry.job.purpose))
        table.add_row(
            entry.job.project,
            entry.job.name,
            Text(state or "–", style=STYLES[state] if state else "dim"),
            _bar(entry),
            Text(message, style="" if entry.status else "dim"),
        )
    return JobsTable(table, [f"[{number}] {uri}" for number, uri in enumerate(uris, start=1)])


def _bar(entry: Observed) -> RenderableType:
    progress = entry.status.get("progress")
    if not progress:
        return Text("")
    # A grid, because a ProgressBar does not end its line.
    bar = Table.grid()
    bar.add_row(ProgressBar(total=100, completed=progress.get("percentage", 0), width=BAR_WIDTH))
    bar.add_row(Text(f"{progress.get('iteration', 0)} of {progress.get('maxIterations', 0)}", style="dim"))
    return bar


def state_line(entry: Observed, seconds: float) -> str:
    """A line for logs, where there is no terminal to redraw a table on."""
    message = entry.status.get("message", "")
    return f"{seconds:5.0f} s  {entry.job.project}/{entry.job.name}: {entry.state}  {message}".rstrip()
