"""Entry of `headrace` and `kubectl headrace`: one file per verb in headrace_cli.commands."""

import typer

from headrace_cli.commands.dataset import dataset
from headrace_cli.commands.export import export
from headrace_cli.commands.predict import predict
from headrace_cli.commands.train import train

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(train)
app.command()(predict)
app.command()(export)
app.add_typer(dataset)


@app.callback()
def headrace() -> None:
    """Trains vision networks (TrainingJobs, with a cluster or without one), and uses what was trained."""


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
