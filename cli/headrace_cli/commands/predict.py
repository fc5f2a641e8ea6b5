"""`headrace predict`: shows what a trained model sees in images."""

from pathlib import Path
from typing import Annotated

import typer

from headrace_cli.model_process import require_trainer, run_model_program


def predict(  # noqa: PLR0917 - on the command line they have names
    model: Annotated[
        str,
        typer.Argument(
            help="The model/ folder of a run folder, or the run folder; local or s3://...", metavar="MODEL", show_default=False
        ),
    ],
    images: Annotated[
        list[Path],
        typer.Argument(help="Image files, or folders with all the images below them.", metavar="IMAGES...", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the predictions; it must be empty or not exist yet.", metavar="FOLDER")
    ] = Path("predictions"),
    min_score: Annotated[float, typer.Option(help="Leave out objects with lower scores.", min=0, max=1)] = 0.05,
    pictures: Annotated[bool, typer.Option(help="Draw the predictions into copies of the images.")] = True,
    batch_size: Annotated[int, typer.Option(help="Number of images that the network processes at once.", min=1, max=4096)] = 8,
) -> None:
    """Run a trained model on images, on this machine: on a GPU if there is one, else on all cores.

    Each head's predictions go to FOLDER/<head>/ in its task's usual format, in the pixels of the upright image.
    FOLDER/pictures/ shows them. FOLDER/predictions.json, which the command writes last, lists the images. docs/predict.md explains
    each file. Storage keys for an s3:// MODEL come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL and AWS_REGION.

    Exit status: 0 all images done; 1 some images could not be read (listed on stderr), the others are done; 2 failed.

    Example: headrace predict ./runs/default/street/street-3-local/model ./photos --out ./seen
    """
    require_trainer()
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("[bold]images"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    drawing = [] if pictures else ["--no-pictures"]
    options = ["--out", str(out), "--min-score", str(min_score), "--batch-size", str(batch_size), *drawing]
    with Progress(*columns, console=console, disable=not console.is_terminal, redirect_stderr=False) as progress:
        bar = progress.add_task("images", total=None)
        code = run_model_program(
            ["images", *options, "--", model, *map(str, images)],
            lambda done, of: progress.update(bar, completed=done, total=of),
        )
    raise typer.Exit(code)
