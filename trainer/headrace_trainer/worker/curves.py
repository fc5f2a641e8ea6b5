"""Draws training curves: one row per head, with its losses by term on the left and its scores on the right."""

import os
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from headrace_trainer.worker.chart import BACKGROUND, SCALE, Points, draw_chart
from headrace_trainer.worker.history import PRIMARY, TOTAL, History, Series

_WIDTH, _HEIGHT = 560, 260
"""Size of a chart in pixels."""


def save_curves(history: History, heads: Mapping[str, str], path: Path) -> None:
    """Write the curves of `heads` (task words by name) as a PNG that appears complete or not at all.

    With several heads, the first row shows their weighted sum of losses and mean primary score.
    """
    titles = {name: f"{name}: {words}" for name, words in heads.items()}
    rows = len(titles) + (len(titles) > 1)
    sheet = Image.new("RGB", (2 * _WIDTH * SCALE, rows * _HEIGHT * SCALE), BACKGROUND)
    top = 0
    if len(titles) > 1:
        sums = {TOTAL: _lines(history.losses).get(TOTAL, ())}
        draw_chart(sheet, (0, 0, _WIDTH, _HEIGHT), "all heads, weighted sum of losses", sums)
        means = {PRIMARY: _lines(history.scores).get(PRIMARY, ())}
        draw_chart(sheet, (_WIDTH, 0, 2 * _WIDTH, _HEIGHT), "all heads, mean of primary scores", means)
        top = _HEIGHT
    for name, title in titles.items():
        draw_chart(sheet, (0, top, _WIDTH, top + _HEIGHT), f"{title}, losses", _lines(history.losses, f"{name}/"))
        draw_chart(sheet, (_WIDTH, top, 2 * _WIDTH, top + _HEIGHT), f"{title}, scores", _lines(history.scores, f"{name}/"))
        top += _HEIGHT
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    sheet.resize((sheet.width // SCALE, sheet.height // SCALE), Image.Resampling.BOX).save(temporary, format="PNG")
    temporary.rename(path)


def _lines(series: Series, prefix: str = "") -> dict[str, Points]:
    """The lines whose names begin with `prefix`, with the prefix removed."""
    return {
        name.removeprefix(prefix): [(x, y) for x, y in zip(series.iterations, line.mean, strict=True) if y is not None]
        for name, line in series.lines.items()
        if name.startswith(prefix)
    }
