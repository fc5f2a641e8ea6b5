"""A picture for people: what each head sees in a few held-out images and, below that, what is true where it can be drawn."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from headrace_trainer.data.batch import Batch
from headrace_trainer.heads.base import Head, Predictions
from headrace_trainer.ops.drawing import Canvas
from headrace_trainer.worker.truth import truth_as_predictions

COLUMNS: Final = 8
_CELL: Final = 384
"""Longer side of a drawn image in the grid, pixels."""
_GAP: Final = 6
_TITLE: Final = 30
_BACKGROUND: Final = (24, 24, 24)
_INK: Final = (235, 235, 235)


class PredictionGrid:
    """Gathers the first `COLUMNS` images of an evaluation, drawn by each head."""

    def __init__(self, heads: Mapping[str, Head]) -> None:
        self._heads = heads
        self._rows: dict[str, list[Image.Image]] = {}
        self._drawn = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self._rows

    def add(self, batch: Batch, predictions: Mapping[str, Predictions]) -> None:
        """Draw a batch and each head's predictions for it; ignored once there are enough."""
        count = min(len(batch.images), COLUMNS - self._drawn)
        if count == 0:
            return
        pixels = batch.images[:count].permute(0, 2, 3, 1).contiguous().cpu().numpy()
        for name, head in self._heads.items():
            found = _first(predictions[name], count)
            self._add_row(f"{name}: {head.task.words}", [head.draw(pixels[index], found, index) for index in range(count)])
            truth = truth_as_predictions(head, _first(batch.targets[name], count), found)
            if truth is not None:
                labelled = batch.labelled[name].tolist()
                # An image that nobody has looked at for this head is shown as it is.
                drawn = [head.draw(pixels[i], truth, i) if labelled[i] else Canvas(pixels[i]).pixels() for i in range(count)]
                self._add_row(f"{name}: truth", drawn)
        self._drawn += count

    def save(self, path: Path) -> None:
        """Write the grid as PNG; it appears whole or not at all."""
        cells = [cell for row in self._rows.values() for cell in row]
        width, height = max(cell.width for cell in cells), max(cell.height for cell in cells)
        columns = max(len(row) for row in self._rows.values())
        sheet = Image.new("RGB", (_GAP + columns * (width + _GAP), _GAP + len(self._rows) * (_TITLE + height + _GAP)), _BACKGROUND)
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=18)
        for number, (title, row) in enumerate(self._rows.items()):
            top = _GAP + number * (_TITLE + height + _GAP)
            draw.text((_GAP, top + 3), title, fill=_INK, font=font)
            for column, cell in enumerate(row):
                sheet.paste(cell, (_GAP + column * (width + _GAP), top + _TITLE))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        sheet.save(temporary, format="PNG")
        temporary.rename(path)

    def _add_row(self, title: str, drawn: list[np.ndarray]) -> None:
        self._rows.setdefault(title, []).extend(_fit(picture) for picture in drawn)


def _first(tensors: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    return {name: tensor[:count].cpu() for name, tensor in tensors.items()}


def _fit(drawn: np.ndarray) -> Image.Image:
    """At most a cell large; heads enlarge small images themselves, before they write on them."""
    picture = Image.fromarray(drawn)
    picture.thumbnail((_CELL, _CELL))
    return picture
