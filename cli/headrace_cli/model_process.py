"""Runs the trainer's program that uses a trained model, as a child process, and shows its progress and results."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence

import typer

from headrace_api.names import ExitCode
from headrace_cli.failure import require_packages

_MODULE = "headrace_trainer.predict"
_NEEDED = ("torch", "torchvision", "rich", "safetensors")
"""Packages of the [trainer] extra that the program needs to start."""
_INTERRUPTED = 130
"""The exit status that a shell gives a program that Ctrl-C ended."""


def require_trainer() -> None:
    """Exit with a message if the [trainer] extra is not installed."""
    require_packages("a model", _NEEDED)


def run_model_program(arguments: Sequence[str], on_progress: Callable[[int, int], None] | None = None) -> int:
    """Run it to its end, print its facts to stdout as "name<tab>value", and return its exit status.

    Its stderr goes straight to ours. `on_progress` gets the number of images done, and of all images.
    """
    command = [sys.executable, "-m", _MODULE, *arguments]
    facts: list[tuple[str, str]] = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                message = json.loads(line)
                if "facts" in message:
                    facts = message["facts"]
                elif on_progress is not None:
                    on_progress(message["done"], message["of"])
            code = process.wait()
        except KeyboardInterrupt:  # the terminal signals the program, too
            process.wait()
            return _INTERRUPTED
    for name, value in facts:
        typer.echo(f"{name}\t{value}")
    # A negative code means that a signal killed it: a crash.
    return code if code >= 0 else ExitCode.FATAL
