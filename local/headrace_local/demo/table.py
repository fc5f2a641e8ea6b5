"""The live table of jobs: pure, from what was observed."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
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


def jobs_table(observed: Iterable[Observed], seconds: float) -> RenderableType:
    """All jobs with state, progress and what there is to say, after so many seconds."""
    table = Table(title=f"kubectl get trainingjobs -n demo    ({seconds:.0f} s)", title_justify="left", expand=True)
    table.add_column("project")
    table.add_column("job")
    table.add_column("state", min_width=8)
    table.add_column("progress", min_width=22)
    table.add_column("what it says", ratio=1, overflow="fold")
    for entry in observed:
        state = entry.state
        table.add_row(
            entry.job.project,
            entry.job.name,
            Text(state or "–", style=STYLES[state] if state else "dim"),
            _bar(entry),
            Text(entry.status.get("message", entry.job.purpose), style="" if entry.status else "dim"),
        )
    return table


def _bar(entry: Observed) -> RenderableType:
    progress = entry.status.get("progress")
    if not progress:
        return Text("")
    words = f"{progress.get('iteration', 0)} of {progress.get('maxIterations', 0)} iterations"
    return Group(ProgressBar(total=100, completed=progress.get("percentage", 0), width=22), Text(words, style="dim"))


def state_line(entry: Observed, seconds: float) -> str:
    """A line for logs, where there is no terminal to redraw a table on."""
    message = entry.status.get("message", "")
    return f"{seconds:5.0f} s  {entry.job.project}/{entry.job.name}: {entry.state}  {message}".rstrip()
