"""Draws each head's predictions for a few held-out images and, below them, the ground truth if it can be drawn."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.heads.base import Head
from headrace_trainer.results.base import Predictions

COLUMNS: Final = 8
_CELL: Final = 384
"""Longer side of a drawn image in the grid, pixels."""
_GAP: Final = 6
_TITLE: Final = 30
_BACKGROUND: Final = (24, 24, 24)
_INK: Final = (235, 235, 235)


class PredictionGrid:
    """Collects for each head the first `COLUMNS` images of an evaluation that are labelled for it, or the very first if none is."""

    def __init__(self, heads: Mapping[str, Head]) -> None:
        self._heads = heads
        self._seen: dict[str, list[Image.Image]] = {name: [] for name in heads}
        self._true: dict[str, list[Image.Image]] = {name: [] for name in heads}
        self._unlabelled: dict[str, list[Image.Image]] = {}

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self._rows()

    def add(self, batch: Batch, predictions: Mapping[str, Predictions]) -> None:
        """Draw a batch with each head's predictions, as far as there is room."""
        first = not self._unlabelled
        for name, head in self._heads.items():
            labelled = batch.labelled[name].nonzero()[:, 0].tolist()[: COLUMNS - len(self._seen[name])]
            if labelled:
                found = _rows_of(predictions[name], labelled)
                self._seen[name] += _drawn(head, batch.images, labelled, found)
                truth = head.truth(_rows_of(batch.targets[name], labelled), found)
                if truth is not None:
                    self._true[name] += _drawn(head, batch.images, labelled, truth)
            if first:
                shown = [] if labelled else list(range(min(COLUMNS, len(batch.images))))
                self._unlabelled[name] = _drawn(head, batch.images, shown, _rows_of(predictions[name], shown))

    def save(self, path: Path) -> None:
        """Write the grid as a PNG that appears complete or not at all."""
        rows = self._rows()
        cells = [cell for row in rows.values() for cell in row]
        width, height = max(cell.width for cell in cells), max(cell.height for cell in cells)
        columns = max(len(row) for row in rows.values())
        sheet = Image.new("RGB", (_GAP + columns * (width + _GAP), _GAP + len(rows) * (_TITLE + height + _GAP)), _BACKGROUND)
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=18)
        for number, (title, row) in enumerate(rows.items()):
            top = _GAP + number * (_TITLE + height + _GAP)
            draw.text((_GAP, top + 3), title, fill=_INK, font=font)
            for column, cell in enumerate(row):
                sheet.paste(cell, (_GAP + column * (width + _GAP), top + _TITLE))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        sheet.save(temporary, format="PNG")
        temporary.rename(path)

    def _rows(self) -> dict[str, list[Image.Image]]:
        """The rows that have an image, by title."""
        rows = {}
        for name, head in self._heads.items():
            rows[f"{name}: {head.task.words}"] = self._seen[name] or self._unlabelled.get(name, [])
            rows[f"{name}: truth"] = self._true[name]
        return {title: row for title, row in rows.items() if row}


def _rows_of(tensors: Mapping[str, Tensor], chosen: Sequence[int]) -> dict[str, Tensor]:
    """The chosen images of a batch, on the CPU."""
    return {name: tensor[list(chosen)].cpu() for name, tensor in tensors.items()}


def _drawn(head: Head, images: Tensor, chosen: Sequence[int], predictions: Predictions) -> list[Image.Image]:
    """The chosen ones of the images, uint8 [B, 3, H, W], drawn with `predictions`, which cover only these."""
    pixels = images[list(chosen)].permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return [_fit(head.draw(pixels[index], predictions, index)) for index in range(len(chosen))]


def _fit(drawn: np.ndarray) -> Image.Image:
    """Shrinks a picture to a cell; heads themselves enlarge small images before they draw text on them."""
    picture = Image.fromarray(drawn)
    picture.thumbnail((_CELL, _CELL))
    return picture
