"""The trainer's program that uses a trained model, as a child process: its progress shown, what came out told."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence

import typer

from headrace_api.names import ExitCode
from headrace_cli.failure import require_packages

_MODULE = "headrace_trainer.predict"
_NEEDED = ("torch", "torchvision", "rich", "safetensors")
"""Of the [trainer] extra: without these nothing can begin."""
_INTERRUPTED = 130
"""As a shell says it of a program that Ctrl-C ended."""


def require_trainer() -> None:
    """End with a message where the [trainer] extra is not installed."""
    require_packages("a model", _NEEDED)


def run_model_program(arguments: Sequence[str], on_progress: Callable[[int, int], None] | None = None) -> int:
    """Run it to its end and print its facts to stdout, "name<tab>value"; its exit status.

    What it writes to stderr goes to ours as it comes. `on_progress` is told how many images of how many are done.
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
        except KeyboardInterrupt:  # the terminal has told the program, too
            process.wait()
            return _INTERRUPTED
    for name, value in facts:
        typer.echo(f"{name}\t{value}")
    # Killed by a signal (negative) is a crash.
    return code if code >= 0 else ExitCode.FATAL
