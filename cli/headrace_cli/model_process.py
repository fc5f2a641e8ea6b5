"""Runs the trainer's program that uses a trained model, as a child process, and shows its progress and results."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence

import typer

from headrace_cli.child_process import running_child
from headrace_cli.failure import require_packages

_MODULE = "headrace_trainer.predict"
_NEEDED = ("torch", "torchvision", "rich", "safetensors")
"""Packages of the [trainer] extra that the program needs to start."""


def require_trainer() -> None:
    """Exit with a message if the [trainer] extra is not installed."""
    require_packages("a model", _NEEDED)


def run_model_program(arguments: Sequence[str], on_progress: Callable[[int, int], None] | None = None) -> int:
    """Run it to its end, print its facts to stdout as "name<tab>value", and return its exit status.

    Its stderr goes straight to ours. `on_progress` gets the number of images done, and of all images.
    """
    command = [sys.executable, "-m", _MODULE, *arguments]
    facts: list[tuple[str, str]] = []
    with running_child(command, stdout=subprocess.PIPE) as child:
        for line in child.lines:
            message = json.loads(line)
            if "facts" in message:
                facts = message["facts"]
            elif on_progress is not None:
                on_progress(message["done"], message["of"])
        code = child.wait()
    for name, value in facts:
        typer.echo(f"{name}\t{value}")
    return code
