"""Sheets: nine noughts on brick. On every second sheet of the val split, one of them is another digit."""

from dataclasses import dataclass

import numpy as np

from headrace_scenes.glyphs import make_stamp, paste, scans
from headrace_scenes.textures import TEXTURES, generator, patch

ACROSS = 3
NOUGHT = 0


@dataclass(frozen=True)
class Sheet:
    """One image, and its odd digit."""

    image: np.ndarray
    """uint8 [S, S, 3]"""
    odd: np.ndarray
    """bool [S, S]: the pixels of the digit that is not a nought"""


def draw_sheet(split: str, index: int, size: int = 96, seed: int = 0) -> Sheet:
    """Sheet number `index` of a split."""
    rng = generator(seed, "sheet", split, index)
    canvas = patch(rng, TEXTURES.index("brick"), size).astype(np.float32)
    there, color = scans(split), rng.uniform(170, 255, 3)
    noughts, others = np.flatnonzero(there.digits == NOUGHT), np.flatnonzero(there.digits != NOUGHT)
    place_of_odd = int(rng.integers(ACROSS**2)) if split == "val" and index % 2 else -1
    odd = np.zeros((size, size), np.bool_)
    cell = size / ACROSS
    for number in range(ACROSS**2):
        chosen = int(rng.choice(others if number == place_of_odd else noughts))
        stamp = make_stamp(there.images[chosen], round(cell * rng.uniform(0.85, 1.0)), rng.uniform(-10, 10))
        top, left = (
            round(place * cell + (cell - side) / 2 + cell * rng.uniform(-0.05, 0.05))
            for place, side in zip(divmod(number, ACROSS), stamp.opacity.shape, strict=True)
        )
        drawn = paste(canvas, stamp, top, left, color)
        if number == place_of_odd:
            odd = drawn
    return Sheet(canvas.clip(0, 255).astype(np.uint8), odd)
