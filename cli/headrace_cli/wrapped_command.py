"""Wraps a command's help at the terminal's width. Typer keeps a docstring's line breaks, which look wrong in narrow terminals."""

from typing import Any

from typer.core import TyperCommand


class WrappedCommand(TyperCommand):
    """Pass it to `Typer.command` as `cls`."""

    def __init__(self, name: str | None, *, help: str | None = None, **settings: Any) -> None:
        super().__init__(name, help=None if help is None else _without_breaks(help), **settings)


def _without_breaks(text: str) -> str:
    """Joins the lines of each paragraph."""
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in text.split("\n\n"))
