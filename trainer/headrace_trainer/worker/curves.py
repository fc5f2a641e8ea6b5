"""A picture of how the training went: a row for each head, its losses by term on the left, its scores on the right."""

import os
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from headrace_trainer.worker.chart import BACKGROUND, SCALE, Points, draw_chart
from headrace_trainer.worker.history import PRIMARY, TOTAL, History, Series

_WIDTH, _HEIGHT = 560, 260
"""Of a chart, pixels."""


def save_curves(history: History, heads: Mapping[str, str], path: Path) -> None:
    """Write the curves of `heads` (what each does, by name) as PNG, which appears whole or not at all.

    With several heads, what they come to together is the first row.
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
    """The lines whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): [(x, y) for x, y in zip(series.iterations, values, strict=True) if y is not None]
        for name, values in series.values.items()
        if name.startswith(prefix)
    }
