"""Reads any kind of image file into upright RGB pixels.

Upright: EXIF orientation is applied, as image viewers, annotation tools, cv2 and detectron2 do. The exception is an annotation that
states the image's size (COCO's width and height, or a mask's own), if only the stored pixels have that size: its author looked at
the stored pixels, as pycocotools users do who open images with Pillow, and then so do we (`Picture.see_as_stored`).
"""

import struct
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from headrace_trainer.data.problems import BadSampleError, is_of_the_machine

_EXIF_ORIENTATION = 0x0112
_MIRRORED_OR_TURNED = range(2, 9)
_QUARTER_TURNED = range(5, 9)
_ENDS_LEFT, _ENDS_TOP = (2, 3, 6, 7), (3, 4, 7, 8)
"""Orientations that move the stored picture's right or lower end to the left, or to the top."""

_FAINT = 1 << 12
FAINT: Final = (
    f"16-bit pixels that are all below {_FAINT}: the network sees only the upper 8 bits, so at most {_FAINT >> 8} shades; "
    "stretch images of 10 or 12 bits to all 16, or save them with 8"
)
"""The message about images for which `Picture.faint` is True."""

Extent = tuple[float, float, float, float]
"""Left, top, right and bottom of the picture within pixels that hold a little more than it."""


class Picture:
    """An open image file: its size is known, its pixels are not decoded yet."""

    def __init__(self, path: Path) -> None:
        self._image = Image.open(path)
        orientation = _orientation(self._image)
        self._orientation = orientation
        self._transposed = orientation in _MIRRORED_OR_TURNED
        self._quarter_turned = orientation in _QUARTER_TURNED
        self.stored_size = (self._image.height, self._image.width)
        """Height and width of the pixels in the file."""
        self.size = self.stored_size[::-1] if self._quarter_turned else self.stored_size
        """Height and width of the upright image."""
        self.faint = False
        """Whether 8 bits keep almost nothing of it; known after a call of `pixels`."""

    def see_as_stored(self) -> None:
        """Leave the pixels as stored in the file, because the annotations were made that way."""
        self._transposed = self._quarter_turned = False
        self.size = self.stored_size

    def pixels(self, at_least: tuple[int, int]) -> tuple[Image.Image, Extent]:
        """Upright RGB. A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that is still `at_least` this (height, width).

        The decoder rounds that size up, and pads: at 1/8, 1001 pixels become 126, and the picture covers 125.125 of them.
        """
        height, width = at_least[::-1] if self._quarter_turned else at_least
        drafted = self._image.draft("RGB", (width, height))
        self._image.load()
        self.faint = self._image.mode.startswith("I") and bool(0 < np.asarray(self._image).max() < _FAINT)
        _, (_, _, right, bottom) = drafted or ("", (0, 0, *self._image.size))
        if not self._transposed:
            return _rgb(self._image), (0.0, 0.0, right, bottom)
        image = ImageOps.exif_transpose(self._image)
        if self._quarter_turned:
            right, bottom = bottom, right
        left = image.width - right if self._orientation in _ENDS_LEFT else 0.0
        top = image.height - bottom if self._orientation in _ENDS_TOP else 0.0
        return _rgb(image), (left, top, left + right, top + bottom)

    def __enter__(self) -> "Picture":
        return self

    def __exit__(self, *_: object) -> None:
        self._image.close()


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation still to apply; 1 if there is none."""
    if image.format == "TIFF":  # Pillow turns these itself, and reports the turned size
        return 1
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError, struct.error) as error:  # metadata is often broken when pixels are fine
        if is_of_the_machine(error):
            raise
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    """RGB from grey, palette, CMYK, alpha (dropped), and 16-bit grey, which Pillow itself would clip at 255."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 65535:
            raise BadSampleError("32-bit pixels; expected 8 or 16 bits per channel")
        return Image.fromarray((grey // 256).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise BadSampleError("floating-point pixels; expected 8 or 16 bits per channel")
    return image.convert("RGB")
