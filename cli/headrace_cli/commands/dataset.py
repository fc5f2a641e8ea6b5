"""`headrace dataset check`: shows what a dataset contains and what is wrong with it."""

import sys
from typing import Annotated

import typer

from headrace_cli.child_process import running_child
from headrace_cli.failure import require_packages
from headrace_cli.wrapped_command import WrappedCommand

dataset = typer.Typer(name="dataset", no_args_is_help=True, help="Inspects datasets.")

_MODULE = "headrace_trainer.check"
_NEEDED = ("numpy", "PIL", "faster_coco_eval", "minio")
"""Packages of the [trainer] extra that a check needs; torch is not one of them."""


@dataset.callback()
def group() -> None:
    """Inspects datasets."""


@dataset.command(cls=WrappedCommand)
def check(
    uri: Annotated[
        str,
        typer.Argument(
            help="A local folder (the check only reads it) or s3://bucket/prefix/.", metavar="FOLDER|s3://...", show_default=False
        ),
    ],
    images: Annotated[
        bool,
        typer.Option(
            "--images",
            help="Read every image in full and draw every annotation, instead of reading only image headers and annotations.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON with all problems instead of text.")] = False,
) -> None:
    """Print a dataset's images, splits, layers, classes and counts, the heads that each layer can train, and every problem found.

    Without a dataset.json, the command prints what it recognised instead, so that you can copy it. A problem is something that
    training would skip or fail on; a note is something that training corrects or that may surprise you. For a dataset in s3://, the
    command downloads the annotation files into a temporary folder, and just enough of each image to read its header. Storage keys
    come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL and AWS_REGION.

    Exit status: 0 no problems; 1 problems found, or storage does not answer; 2 no dataset to check: the folder or prefix does not
    exist or is empty, or storage refuses access.

    Example: headrace dataset check ./street
    """
    require_packages("a check", _NEEDED)
    options = [*(["--images"] if images else []), *(["--json"] if json else [])]
    with running_child([sys.executable, "-m", _MODULE, *options, "--", uri]) as child:
        code = child.wait()
    raise typer.Exit(code)
