"""Cards: one digit on one texture, turned by up to 60 degrees; several cards show the same scan."""

from dataclasses import dataclass

import numpy as np

from headrace_scenes.glyphs import make_stamp, paste, scans
from headrace_scenes.textures import TEXTURES, generator, patch

FARTHEST_DEGREES = 60.0
CARDS_OF_A_SCAN = 6
"""About how many cards show the same scan."""


@dataclass(frozen=True)
class Card:
    """One image and its labels."""

    image: np.ndarray
    """uint8 [S, S, 3]"""
    digit: int
    scan: int
    """The number of the scan: its identity."""
    degrees: float
    """Clockwise."""


def draw_card(split: str, index: int, cards: int, size: int = 96, seed: int = 0) -> Card:
    """Card number `index` of a split with `cards` cards."""
    there = scans(split)
    different = min(max(cards // CARDS_OF_A_SCAN, 1), len(there.images))
    chosen = int(generator(seed, "scans", split, 0).permutation(len(there.images))[index % different])
    rng = generator(seed, "card", split, index)
    canvas = patch(rng, int(rng.integers(len(TEXTURES))), size).astype(np.float32)
    degrees = float(rng.uniform(-FARTHEST_DEGREES, FARTHEST_DEGREES))
    stamp = make_stamp(there.images[chosen], int(size * rng.uniform(0.5, 0.65)), degrees)
    top, left = (int(rng.integers(0, max(size - side, 0) + 1)) for side in stamp.opacity.shape)
    paste(canvas, stamp, top, left, rng.uniform(170, 255, 3))
    return Card(canvas.clip(0, 255).astype(np.uint8), int(there.digits[chosen]), int(there.numbers[chosen]), degrees)
