"""How a command says that it cannot do what was asked."""

from typing import NoReturn

import typer

from headrace_api.names import ExitCode


def fail(message: str, hint: str = "") -> NoReturn:
    """Print `error: ...`, and `hint: ...` where there is something to do about it, to stderr; exit with ExitCode.FATAL."""
    typer.echo(f"error: {message}", err=True)
    if hint:
        typer.echo(f"hint: {hint}", err=True)
    raise typer.Exit(ExitCode.FATAL)
