"""Strips: a row of one to six digits on one texture, three times as wide as it is high."""

import numpy as np

from headrace_scenes.glyphs import DIGITS, make_stamp, paste, scans
from headrace_scenes.textures import TEXTURES, generator, patch

MOST_DIGITS = 6


def draw_strip(split: str, index: int, size: int = 96, seed: int = 0) -> tuple[np.ndarray, str]:
    """An image uint8 [S / 3, S, 3], and the digits from left to right."""
    rng = generator(seed, "strip", split, index)
    height, cell = size // 3, size / MOST_DIGITS
    canvas = patch(rng, int(rng.integers(len(TEXTURES))), size)[:height].astype(np.float32)
    there, color = scans(split), rng.uniform(170, 255, 3)
    count = int(rng.integers(1, MOST_DIGITS + 1))
    left, text = float(rng.uniform(0, size - count * cell)), ""
    for _ in range(count):
        chosen = int(rng.integers(len(there.images)))
        stamp = make_stamp(there.images[chosen], round(cell * rng.uniform(1.1, 1.4)), rng.uniform(-8, 8))
        down, across = (space - side for space, side in zip((height, cell), stamp.opacity.shape, strict=True))
        # Scans have margins, so stamps may overlap where they are empty.
        paste(canvas, stamp, round(down * rng.uniform(0.3, 0.7)), round(left + across / 2), color)
        text += DIGITS[there.digits[chosen]]
        left += cell
    return canvas.clip(0, 255).astype(np.uint8), text
