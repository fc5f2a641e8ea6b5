"""`headrace export`: a trained model as one graph for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from headrace_cli.model_process import require_trainer, run_model_program


class Format(StrEnum):
    """What it can be written as."""

    ONNX = "onnx"
    TORCH_EXPORT = "torch-export"

    @property
    def suffix(self) -> str:
        """Of the file."""
        return ".onnx" if self is Format.ONNX else ".pt2"


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="The model/ folder of a run folder, or the run folder; local or s3://...", metavar="MODEL", show_default=False
        ),
    ],
    # Rich, which prints the help, takes what is in brackets for markup where there is no backslash before it.
    format: Annotated[Format, typer.Option(help=r"ONNX needs the extra: in a checkout of Headrace, pip install '.\[onnx]'.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File to write. Default: model.onnx or model.pt2 in this folder.", metavar="FILE", show_default=False),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(help="Only this head; may be given several times. Default: all that can be exported.", show_default=False),
    ] = None,
) -> None:
    """Write a trained network as one graph: from pixels to what its heads give before decoding.

    The input "images" is uint8 [B, 3, H, W], RGB, of the size that the network was trained at and any number of images; outputs are
    called <head>/<output>. The graph is run beside the network before its file gets its name; one that differs is refused.

    Exit status: 0 it is written, 2 it is not.

    Example: headrace export ./runs/default/street/street-3-local/model --format onnx
    """
    require_trainer()
    file = out or Path(f"model{format.suffix}")
    heads = [part for name in head or [] for part in ("--head", name)]
    arguments = ["graph", "--format", format.value, "--out", str(file), *heads, "--", model]
    raise typer.Exit(run_model_program(arguments))
