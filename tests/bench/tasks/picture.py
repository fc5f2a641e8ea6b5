"""Draws docs/tasks.jpg: what the networks of the rows on digit scenes predict for the same held-out scenes.

`headrace predict` draws with the models that `make bench-tasks` left in .cache; tasks whose rows did not run here are left out.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from tasks.digits import SCENES, TASKS
from tasks.rows import Row
from tasks.run import dataset_folder, run_folder

PICTURE: Final = Path("docs/tasks.jpg")
_SCENES: Final = 4
_SIDE: Final = 164
_GAP: Final = 4
_TITLE: Final = 24


def draw() -> int:
    """Returns the exit status: 1 if there is no model at all."""
    there = [row for row in TASKS if row.data == SCENES and _model(row).exists()]
    if not there:
        print(".cache has no model from a row on digit scenes: run `make bench-tasks` first", file=sys.stderr)
        return 1
    scenes = sorted((dataset_folder(SCENES) / "images/val").glob("*.jpg"))[:_SCENES]
    columns = {row.name.split("/")[1].replace("-", " "): _drawn(row, scenes) for row in there}
    _sheet(columns).save(PICTURE, quality=85)
    print(f"wrote {PICTURE}: {', '.join(columns)}")
    return 0


def _model(row: Row) -> Path:
    return run_folder(row) / "model"


def _drawn(row: Row, scenes: list[Path]) -> list[Image.Image]:
    """What the one head of `row` predicts for each scene."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "headrace_cli", "predict", str(_model(row)), *map(str, scenes), "--out", str(out)]
        subprocess.run([*command, "--min-score", "0.3"], check=True, stdout=subprocess.DEVNULL)
        pictures = sorted((out / "pictures" / "head").glob("*.jpg"))
        return [Image.open(picture).convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS) for picture in pictures]


def _sheet(columns: dict[str, list[Image.Image]]) -> Image.Image:
    step = _SIDE + _GAP
    sheet = Image.new("RGB", (_GAP + len(columns) * step, _TITLE + _SCENES * step), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for column, (title, pictures) in enumerate(columns.items()):
        draw.text((_GAP + column * step, 5), title, fill="black", font=font)
        for row, picture in enumerate(pictures):
            sheet.paste(picture, (_GAP + column * step, _TITLE + row * step))
    return sheet
