"""The entry point of `headrace` and `kubectl headrace`; each command has a file in headrace_cli.commands."""

from typing import Annotated

import typer

from headrace_api.names import RELEASE
from headrace_cli.commands.dataset import dataset
from headrace_cli.commands.export import export
from headrace_cli.commands.predict import predict
from headrace_cli.commands.train import train
from headrace_cli.wrapped_command import WrappedCommand

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]})
app.command(cls=WrappedCommand)(train)
app.command(cls=WrappedCommand)(predict)
app.command(cls=WrappedCommand)(export)
app.add_typer(dataset)


@app.command()
def version() -> None:
    """Prints the version of Headrace."""
    typer.echo(f"headrace {RELEASE}")


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def headrace(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Prints the version and exits.")
    ] = False,
) -> None:
    """Trains vision networks (TrainingJobs, with or without a cluster), and uses the trained models."""


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
