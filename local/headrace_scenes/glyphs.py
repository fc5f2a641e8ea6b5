"""Scans of digits: enlarges, turns and pastes them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

DIGITS = tuple(str(digit) for digit in range(10))
INK = 0.5
"""A pixel of at least this opacity belongs to the digit."""


@dataclass(frozen=True)
class Scans:
    """The scans of a split."""

    images: np.ndarray
    """float [n, 8, 8] in 0 to 1"""
    digits: np.ndarray
    """int [n]"""
    numbers: np.ndarray
    """int [n]: the scan's number in the whole collection"""


@cache
def scans(split: str) -> Scans:
    """Every fifth scan belongs to val."""
    bunch = load_digits()
    held_out = np.arange(len(bunch.target)) % 5 == 0
    chosen = np.flatnonzero(held_out if split == "val" else ~held_out)
    return Scans(bunch.images[chosen] / 16.0, bunch.target[chosen], chosen)


@dataclass(frozen=True)
class Stamp:
    """A digit, ready to paste."""

    opacity: np.ndarray
    """float [h, w] in 0 to 1"""
    corners: np.ndarray
    """float [4, 2] (x, y): the rectangle around the ink, turned with it; clockwise from the digit's own top left"""

    @property
    def ink(self) -> np.ndarray:
        """bool [h, w]"""
        ink: np.ndarray = self.opacity > INK
        return ink


def make_stamp(scan: np.ndarray, side: int, degrees: float) -> Stamp:
    """A scan enlarged to `side` and turned clockwise."""
    upright = Image.fromarray((scan * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    turned = upright.rotate(-degrees, Image.Resampling.BILINEAR, expand=True)
    rows, columns = (np.flatnonzero((np.asarray(upright) > INK * 255).any(axis=axis)) for axis in (1, 0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    rectangle = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64) - side / 2
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    corners = rectangle @ np.array([[cos, sin], [-sin, cos]]) + np.array(turned.size) / 2
    return Stamp(np.asarray(turned, np.float32) / 255, corners)


def paste(canvas: np.ndarray, stamp: Stamp, top: int, left: int, color: np.ndarray) -> np.ndarray:
    """Draw on `canvas` float [H, W, 3], in place; returns the digit's pixels, bool [H, W]. Cuts off what is beyond the edge."""
    height, width = canvas.shape[:2]
    down, across = slice(max(top, 0), height), slice(max(left, 0), width)
    opacity = stamp.opacity[max(-top, 0) :, max(-left, 0) :]
    opacity = opacity[: height - down.start, : width - across.start]
    place = np.s_[down.start : down.start + opacity.shape[0], across.start : across.start + opacity.shape[1]]
    canvas[place] += opacity[..., None] * (color - canvas[place])
    drawn = np.zeros((height, width), np.bool_)
    drawn[place] = opacity > INK
    return drawn
