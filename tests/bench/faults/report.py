"""Tables for the terminal and for a page."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

Row = tuple[str, ...]


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print `rows`, of which the first one has the names of the columns."""
    table = Table(*rows[0], title=title)
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)


def markdown(title: str, rows: Sequence[Row]) -> str:
    """The same as Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([f"**{title}**", "", lines[0], "|---" * len(rows[0]) + "|", *lines[1:], ""])
