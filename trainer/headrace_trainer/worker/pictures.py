"""A picture for people: a row for each head, a column for each of a few held-out images, with what the head sees in it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from headrace_trainer.heads.base import Head, Predictions

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
        self._rows: dict[str, list[Image.Image]] = {name: [] for name in heads}

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not any(self._rows.values())

    def add(self, images: Tensor, predictions: Mapping[str, Predictions]) -> None:
        """Draw a batch: uint8 [B, 3, H, W] and each head's predictions; ignored once there are enough."""
        drawn = len(next(iter(self._rows.values()), []))
        count = min(len(images), COLUMNS - drawn)
        pixels = images[:count].permute(0, 2, 3, 1).contiguous().cpu().numpy()
        for name, head in self._heads.items():
            for index in range(count):
                self._rows[name].append(_fit(head.draw(pixels[index], predictions[name], index)))

    def save(self, path: Path) -> None:
        """Write the grid as PNG; it appears whole or not at all."""
        cells = [cell for row in self._rows.values() for cell in row]
        width, height = max(cell.width for cell in cells), max(cell.height for cell in cells)
        columns = max(len(row) for row in self._rows.values())
        sheet = Image.new("RGB", (_GAP + columns * (width + _GAP), _GAP + len(self._rows) * (_TITLE + height + _GAP)), _BACKGROUND)
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=18)
        for number, (name, row) in enumerate(self._rows.items()):
            top = _GAP + number * (_TITLE + height + _GAP)
            draw.text((_GAP, top + 3), f"{name}: {self._heads[name].task.words}", fill=_INK, font=font)
            for column, cell in enumerate(row):
                sheet.paste(cell, (_GAP + column * (width + _GAP), top + _TITLE))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        sheet.save(temporary, format="PNG")
        temporary.rename(path)


def _fit(drawn: np.ndarray) -> Image.Image:
    """At most a cell large; heads enlarge small images themselves, before they write on them."""
    picture = Image.fromarray(drawn)
    picture.thumbnail((_CELL, _CELL))
    return picture
