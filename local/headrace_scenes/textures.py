"""The photographs behind everything, and the random numbers that draw everything."""

import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import skimage.data
from PIL import Image

TEXTURES = ("brick", "grass", "gravel", "tissue")


def generator(seed: int, kind: str, split: str, index: int) -> np.random.Generator:
    """The random numbers of one image."""
    return np.random.default_rng([seed, zlib.crc32(f"{kind}/{split}".encode()), index])


@cache
def _photographs() -> tuple[np.ndarray, ...]:
    gray: tuple[Callable[[], np.ndarray], ...] = (skimage.data.brick, skimage.data.grass, skimage.data.gravel)
    return (*(np.repeat(photo()[..., None], 3, axis=2) for photo in gray), skimage.data.immunohistochemistry())


def patch(rng: np.random.Generator, texture: int, size: int) -> np.ndarray:
    """A crop of a photograph, uint8 [size, size, 3], shown at half its scale so that its grain is visible, dimmed at random."""
    photo = _photographs()[texture]
    top, left = (int(rng.integers(0, extent - 2 * size + 1)) for extent in photo.shape[:2])
    crop = Image.fromarray(photo[top : top + 2 * size, left : left + 2 * size]).resize((size, size), Image.Resampling.BOX)
    return (np.asarray(crop, np.float32) * rng.uniform(0.5, 0.9)).astype(np.uint8)


def draw_texture(split: str, index: int, size: int = 96, seed: int = 0) -> tuple[np.ndarray, int]:
    """An image uint8 [S, S, 3] of one texture, and its index into TEXTURES. Splits show different crops of the same photographs."""
    rng = generator(seed, "texture", split, index)
    texture = int(rng.integers(len(TEXTURES)))
    return patch(rng, texture, size), texture
