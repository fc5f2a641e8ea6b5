"""Draws on images for people to look at, enlarging small ones so that text stays legible."""

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SMALLEST_SIDE = 384
"""Pixels. The longer side of a picture has at least this many: images are enlarged by a whole factor."""
_FONT_SIZE = 14
_GOLDEN = 0.618034
_LINE = 2
_DOT = 4
"""Radius of a dot. Lines and dots are as thick on large pictures as on small ones."""


def color_of(number: int) -> tuple[int, int, int]:
    """A colour for a class: neighbouring numbers get hues far apart (steps of the golden ratio around the colour wheel)."""
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.75, 0.95 if number % 2 == 0 else 0.7)
    return round(red * 255), round(green * 255), round(blue * 255)


def with_score(text: str, score: float) -> str:
    """`text` followed by the score, 0 to 1; without it at a score of 1, as for ground truth."""
    return text if score >= 1 else f"{text} {score:.2f}"


class Canvas:
    """An enlarged copy of an image (uint8 [H, W, 3]). Coordinates are the original image's."""

    def __init__(self, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        self.scale = max(1, -(-SMALLEST_SIDE // max(height, width)))
        self._picture = Image.fromarray(image).resize((width * self.scale, height * self.scale), Image.Resampling.BILINEAR)
        self._draw = ImageDraw.Draw(self._picture)
        self._font = ImageFont.load_default(_FONT_SIZE)
        self._caption_top = 0

    def box(self, box: Sequence[float], text: str, number: int) -> None:
        """Draw the rectangle x0, y0, x1, y1 in the colour of class `number`, with `text` at its top left, inside the picture."""
        left, top, right, bottom = (value * self.scale for value in box)
        self._draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=color_of(number), width=_LINE)
        self._label(left, top, text, number)

    def polygon(self, corners: Sequence[Sequence[float]], text: str, number: int) -> None:
        """Draw the outline through corners (x, y), with a dot on the first one and `text` placed as for boxes."""
        around = [self._place(corner) for corner in corners]
        self._draw.line([*around, around[0]], fill=color_of(number), width=_LINE, joint="curve")
        self._label(min(x for x, _ in around), min(y for _, y in around), text, number)
        self.dot(corners[0], number)  # last, or the label could hide it

    def line(self, start: Sequence[float], end: Sequence[float], number: int) -> None:
        """Draw a line from one point (x, y) to another, in the colour of `number`."""
        self._draw.line([self._place(start), self._place(end)], fill=color_of(number), width=_LINE)

    def dot(self, center: Sequence[float], number: int) -> None:
        """Draw a disc at a point (x, y) in the colour of `number`, with a rim that sets it off from lines of that colour."""
        self._draw.circle(self._place(center), _DOT, fill=color_of(number), outline=(255, 255, 255))

    def caption(self, text: str, number: int | None = None) -> None:
        """Write a line of text at the top left, below earlier ones, in the colour of class `number`."""
        color = (64, 64, 64) if number is None else color_of(number)
        self._caption_top += self._text(0, self._caption_top, text, color)

    def overlay(self, colors: np.ndarray, opacity: float, where: np.ndarray | None = None) -> None:
        """Blend `colors` (uint8 [H, W, 3]) over the image, only at the pixels of `where` (bool [H, W]) if given."""
        layer, shown = Image.fromarray(colors), np.full(colors.shape[:2], True) if where is None else where
        layer = layer.resize(self._picture.size, Image.Resampling.NEAREST)
        stencil = Image.fromarray(shown).resize(self._picture.size, Image.Resampling.NEAREST)
        self._picture = Image.composite(Image.blend(self._picture, layer, opacity), self._picture, stencil)
        self._draw = ImageDraw.Draw(self._picture)

    def pixels(self) -> np.ndarray:
        """The picture: uint8 [H * scale, W * scale, 3]."""
        return np.asarray(self._picture).copy()

    def _place(self, point: Sequence[float]) -> tuple[float, float]:
        x, y = point
        return x * self.scale, y * self.scale

    def _label(self, left: float, top: float, text: str, number: int) -> None:
        """Write text above a point of the picture, moved to stay inside it."""
        _, _, text_width, text_height = self._draw.textbbox((0, 0), text, font=self._font)
        x = max(0, min(left, self._picture.width - text_width - 4))
        y = max(0, top - (text_height + 4))
        self._text(x, y, text, color_of(number))

    def _text(self, x: float, y: float, text: str, color: tuple[int, int, int]) -> int:
        """Write text on a plate of `color`, in whichever of black and white is readable on it; returns the plate's height."""
        _, _, right, bottom = self._draw.textbbox((0, 0), text, font=self._font)
        height = int(bottom) + 4
        self._draw.rectangle((x, y, x + right + 4, y + height), fill=color)
        self._draw.text((x + 2, y + 1), text, font=self._font, fill=_readable_on(color))
        return height


def _readable_on(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black on light colours, white on dark ones, by the luma of ITU-R BT.601."""
    red, green, blue = color
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
