"""`headrace dataset check`: what is in a dataset, and what is wrong with it."""

import subprocess
import sys
from typing import Annotated

import typer

from headrace_api.names import ExitCode
from headrace_cli.failure import require_packages

dataset = typer.Typer(name="dataset", no_args_is_help=True, help="Looks at datasets.")

_MODULE = "headrace_trainer.check"
_NEEDED = ("numpy", "PIL", "faster_coco_eval", "minio")
"""Of the [trainer] extra. Nothing of torch."""
_INTERRUPTED = 130
"""As a shell says it of a program that Ctrl-C ended."""


@dataset.callback()
def group() -> None:
    """Looks at datasets."""


@dataset.command()
def check(
    uri: Annotated[
        str,
        typer.Argument(
            help="A local folder, which is only read, or s3://bucket/prefix/.", metavar="FOLDER|s3://...", show_default=False
        ),
    ],
    images: Annotated[
        bool, typer.Option("--images", help="Read all of every image and draw every annotation, not headers and annotations alone.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, all problems in it, instead of lines for people.")] = False,
) -> None:
    """Print a dataset's images, splits, layers, classes and counts, the heads that each layer can train, and every problem found.

    Without a dataset.json, what was recognised instead is printed, to be copied. A problem is what training would skip or end at; a
    note is what it puts right or what may surprise. Of a dataset in s3:// the annotation files are pulled into a temporary folder,
    and of images what their headers need. Storage keys come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL and
    AWS_REGION.

    Exit status: 0 no problem, 1 problems were found or storage stays away, 2 there is no dataset to look at: no such folder or
    prefix, nothing in it, or storage refuses it.

    Example: headrace dataset check ./street
    """
    require_packages("a check", _NEEDED)
    options = [*(["--images"] if images else []), *(["--json"] if json else [])]
    with subprocess.Popen([sys.executable, "-m", _MODULE, *options, "--", uri], stdin=subprocess.DEVNULL) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:  # the terminal has told the program, too
            process.wait()
            raise typer.Exit(_INTERRUPTED) from None
    # Killed by a signal (negative) is a crash.
    raise typer.Exit(code if code >= 0 else ExitCode.FATAL)
