"""Line charts drawn with Pillow: a few lines on a grid do not justify a plotting library in the trainer's image.

Everything is drawn at SCALE times its size and shrunk at the end, which smooths lines and letters.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from headrace_trainer.ops.drawing import color_of

SCALE: Final = 2
BACKGROUND: Final = (255, 255, 255)
_INK, _GRID = (40, 40, 40), (225, 225, 225)
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 28, 30, 28
"""Margins around the plot, pixels."""
_FONT, _LINE_HEIGHT = 13, 17
_LOOKS = 64
"""Columns of the legend's plate at which `_hidden` checks for lines."""
_DECADES = 1.3
"""Values that span more powers of ten than this get a logarithmic axis."""

Points = Sequence[tuple[float, float]]


def draw_chart(sheet: Image.Image, place: tuple[int, int, int, int], title: str, lines: Mapping[str, Points]) -> None:
    """Draw `lines` by name into `place` (left, top, right, bottom; pixels before SCALE) of `sheet`, which is SCALE times as large.

    x starts at 0. y is logarithmic if all values are above 0 and span more than _DECADES powers of ten. A line of one point is
    drawn as a dot; values that are not finite are left out. The legend shows each line's last value.
    """
    left, top, right, bottom = place
    plot = (left + _LEFT, top + _TOP, right - _RIGHT, bottom - _BOTTOM)
    lines = {name: [p for p in points if math.isfinite(p[1])] for name, points in lines.items()}
    drawn = {name: points for name, points in lines.items() if points}
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=_FONT * SCALE)
    draw.text((plot[0] * SCALE, (top + 6) * SCALE), title, fill=_INK, font=font)
    if not drawn:
        draw.text((plot[0] * SCALE, plot[1] * SCALE), "no measurements", fill=_INK, font=font)
        return
    values = [y for points in drawn.values() for _, y in points]
    across = _Axis(0.0, max(x for points in drawn.values() for x, _ in points) or 1.0, plot[0], plot[2])
    down = _value_axis(values, plot[3], plot[1])
    _draw_axes(draw, font, across, down, plot)
    paths = [[(across.at(x) * SCALE, down.at(y) * SCALE) for x, y in points] for points in drawn.values()]
    for number, places in enumerate(paths):
        if len(places) > 1:
            draw.line(places, fill=color_of(number), width=2 * SCALE, joint="curve")
        for x, y in places if len(places) < 20 else places[-1:]:
            draw.ellipse((x - 2.5 * SCALE, y - 2.5 * SCALE, x + 2.5 * SCALE, y + 2.5 * SCALE), fill=color_of(number))
    _draw_legend(draw, font, {name: points[-1][1] for name, points in drawn.items()}, plot, paths)


class _Axis:
    """Maps values from `low` to `high` to pixels from `begin` to `end`, linearly or logarithmically."""

    def __init__(self, low: float, high: float, begin: float, end: float, logarithmic: bool = False) -> None:
        self._low, self._high, self._begin, self._end = low, high, begin, end
        self._logarithmic = logarithmic

    def at(self, value: float) -> float:
        """The pixel of a value."""
        if self._logarithmic:
            share = math.log(value / self._low) / math.log(self._high / self._low)
        else:
            share = (value - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)

    def ticks(self) -> list[float]:
        """Round values on the axis."""
        if self._logarithmic:
            decades = range(math.ceil(math.log10(self._low) - 1e-9), math.floor(math.log10(self._high) + 1e-9) + 1)
            step = -(-len(decades) // 6)
            return [10.0**decade for decade in decades if decade % step == 0]
        power = 10.0 ** math.floor(math.log10((self._high - self._low) / 2))
        apart = power * next(factor for factor in (1, 2, 5, 10) if (self._high - self._low) / (power * factor) <= 6)
        first = math.ceil(self._low / apart - 1e-9)
        return [number * apart for number in range(first, math.floor(self._high / apart + 1e-9) + 1)]


def _value_axis(values: Sequence[float], begin: float, end: float) -> _Axis:
    low, high = min(values), max(values)
    if low > 0 and math.log10(high / low) > _DECADES:
        return _Axis(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high)), begin, end, logarithmic=True)
    low, high = min(low, 0.0), max(high, 0.0)
    # Most scores range from 0 to 1 and read best on that scale.
    high = 1.0 if low == 0 and 0.3 < high <= 1 else high + 0.05 * (high - low)
    return _Axis(low, high if high > low else low + 1.0, begin, end)


def _draw_axes(
    draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, across: _Axis, down: _Axis, plot: tuple[int, ...]
) -> None:
    left, top, right, bottom = (value * SCALE for value in plot)
    for tick in down.ticks():
        y = down.at(tick) * SCALE
        draw.line((left, y, right, y), fill=_GRID, width=SCALE)
        draw.text((left - 6 * SCALE, y), f"{tick:g}", fill=_INK, font=font, anchor="rm")
    for tick in across.ticks():
        x = across.at(tick) * SCALE
        draw.line((x, top, x, bottom), fill=_GRID, width=SCALE)
        draw.text((x, bottom + 5 * SCALE), f"{tick:,.10g}", fill=_INK, font=font, anchor="mt")
    draw.line((left, top, left, bottom, right, bottom), fill=_INK, width=SCALE)


def _draw_legend(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    last: Mapping[str, float],
    plot: tuple[int, ...],
    paths: Sequence[Points],
) -> None:
    """Names and last values on a plate, in the corner where it hides the least of the lines."""
    texts = [f"{name} {value:.4g}" for name, value in last.items()]
    width = max(draw.textlength(text, font=font) for text in texts) + 26 * SCALE
    height = (_LINE_HEIGHT * len(texts) + 4) * SCALE
    across, down = (plot[2] * SCALE - width, (plot[0] + 4) * SCALE), ((plot[1] + 4) * SCALE, (plot[3] - 4) * SCALE - height)
    corners = [(left, top) for left in across for top in down]
    left, top = min(corners, key=lambda corner: _hidden(paths, (*corner, corner[0] + width, corner[1] + height)))
    draw.rectangle((left, top, left + width, top + height), fill=BACKGROUND, outline=_GRID)
    for number, text in enumerate(texts):
        middle = top + (_LINE_HEIGHT * (number + 0.5) + 2) * SCALE
        draw.line((left + 5 * SCALE, middle, left + 17 * SCALE, middle), fill=color_of(number), width=2 * SCALE)
        draw.text((left + 21 * SCALE, middle), text, fill=_INK, font=font, anchor="lm")


def _hidden(paths: Sequence[Points], plate: tuple[float, float, float, float]) -> int:
    """How much of the paths (points in the picture, from left to right) a plate (left, top, right, bottom) would cover."""
    left, top, right, bottom = plate
    hidden = 0
    for x, y in (np.array(path).T for path in paths):
        columns = np.linspace(left, right, _LOOKS)
        columns = np.append(columns[(columns >= x[0]) & (columns <= x[-1])], x[-1:][(x[-1:] >= left) & (x[-1:] <= right)])
        rows = np.interp(columns, x, y)
        hidden += int(((rows >= top) & (rows <= bottom)).sum())
    return hidden
