"""How a command reports that it cannot do what you asked."""

import importlib.util
from collections.abc import Sequence
from typing import NoReturn

import typer

from headrace_api.names import ExitCode


def fail(message: str, hint: str = "") -> NoReturn:
    """Print `error: ...`, and `hint: ...` if you can do something about it, to stderr; exit with ExitCode.FATAL."""
    typer.echo(f"error: {message}", err=True)
    if hint:
        typer.echo(f"hint: {hint}", err=True)
    raise typer.Exit(ExitCode.FATAL)


def require_packages(what: str, names: Sequence[str]) -> None:
    """Exit with a message if a package of the [trainer] extra that `what` needs is not installed."""
    if missing := [name for name in names if importlib.util.find_spec(name) is None]:
        hint = "in a checkout of Headrace: pip install '.[trainer]'"
        fail(f"{what} needs packages that are not installed: {', '.join(missing)}", hint=hint)
