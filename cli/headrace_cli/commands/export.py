"""`headrace export`: writes a trained model as one graph for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from headrace_cli.model_process import require_trainer, run_model_program


class Format(StrEnum):
    """File format of the graph."""

    ONNX = "onnx"
    TORCH_EXPORT = "torch-export"

    @property
    def suffix(self) -> str:
        """The file's suffix."""
        return ".onnx" if self is Format.ONNX else ".pt2"


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="The model/ folder of a run folder, or the run folder; local or s3://...", metavar="MODEL", show_default=False
        ),
    ],
    # Rich prints the help and takes text in brackets for markup, unless a backslash comes before it.
    format: Annotated[Format, typer.Option(help=r"ONNX needs the extra: in a checkout of Headrace, pip install '.\[onnx]'.")],
    out: Annotated[
        Path | None,
        typer.Option(help="File to write. Default: model.onnx or model.pt2 in this folder.", metavar="FILE", show_default=False),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            help="Export only this head; you can give it several times. Default: all heads that can be exported.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a trained network as one graph, from pixels to its heads' outputs before decoding.

    The input "images" is uint8 [B, 3, H, W], RGB, at the size that the network was trained at, with any number of images. The
    outputs are called <head>/<output>. Before it writes the file, the command compares the graph's outputs with the network's and
    refuses a graph that differs.

    Exit status: 0 written, 2 not written.

    Example: headrace export ./runs/default/street/street-3-local/model --format onnx
    """
    require_trainer()
    file = out or Path(f"model{format.suffix}")
    heads = [part for name in head or [] for part in ("--head", name)]
    arguments = ["graph", "--format", format.value, "--out", str(file), *heads, "--", model]
    raise typer.Exit(run_model_program(arguments))
