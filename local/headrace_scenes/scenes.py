"""Scenes: overlapping digits on two textures."""

from dataclasses import dataclass

import numpy as np

from headrace_scenes.glyphs import Stamp, make_stamp, paste, scans
from headrace_scenes.textures import TEXTURES, generator, patch

REGIONS = (*TEXTURES, "digit")
IGNORE = 255
SEAM_PIXELS = 1.5
"""Half the width of the ignored strip between two textures."""
LEAST_VISIBLE_PIXELS = 24
"""If other digits leave a smaller share of a digit visible, the scene leaves it out."""
SMALLEST, LARGEST = 0.28, 0.45
"""Sides of digits, as shares of the image's side."""
GROUND_DEPTH = 2.5
"""The largest digit has a depth of 1; smaller ones are farther away in proportion; the ground is behind them all."""


@dataclass(frozen=True)
class Scene:
    """One image and its exact labels; n digits, in pasting order."""

    image: np.ndarray
    """uint8 [S, S, 3]"""
    masks: np.ndarray
    """bool [n, S, S]: the visible pixels of each digit; disjoint."""
    digits: np.ndarray
    """int [n]: the class of each digit."""
    corners: np.ndarray
    """float [n, 4, 2] (x, y): the turned rectangle around each digit, clockwise from the digit's own top left; inside the image."""
    covered: np.ndarray
    """bool [n, 4]: whether another digit covers the corner"""
    regions: np.ndarray
    """uint8 [S, S]: index into REGIONS, or IGNORE."""
    ground: np.ndarray
    """uint8 [S, S]: index into TEXTURES under everything."""
    depth: np.ndarray
    """float [S, S]"""


def draw_scene(split: str, index: int, size: int = 96, seed: int = 0) -> Scene:
    """Scene number `index` of a split, with sides of `size` pixels."""
    rng = generator(seed, "scene", split, index)
    image, ground, seam = _ground(rng, size)
    canvas = image.astype(np.float32)
    owner = np.full((size, size), -1)
    depth = np.full((size, size), GROUND_DEPTH)
    there = scans(split)
    shares = np.sort(rng.uniform(SMALLEST, LARGEST, int(rng.integers(1, 6))))
    digits, corners = [], []
    for number, share in enumerate(shares):
        chosen = int(rng.integers(len(there.images)))
        stamp = make_stamp(there.images[chosen], int(size * share), rng.uniform(-15, 15))
        top, left = _free_place(rng, stamp, owner >= 0)
        drawn = paste(canvas, stamp, top, left, rng.uniform(170, 255, 3))
        owner[drawn] = number
        depth[drawn] = LARGEST / share
        digits.append(int(there.digits[chosen]))
        corners.append(stamp.corners + np.array([left, top]))
    masks = np.stack([owner == number for number in range(len(digits))])
    seen = masks.sum(axis=(1, 2)) >= LEAST_VISIBLE_PIXELS
    regions = np.where(seam, IGNORE, ground).astype(np.uint8)
    regions[masks.any(axis=0)] = REGIONS.index("digit")
    return Scene(
        image=canvas.clip(0, 255).astype(np.uint8),
        masks=masks[seen],
        digits=np.array(digits)[seen],
        corners=np.array(corners)[seen],
        covered=_covered(np.array(corners), owner)[seen],
        regions=regions,
        ground=ground,
        depth=depth,
    )


def _ground(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(image, texture indices, seam mask) of a ground with two textures and a straight border."""
    first, second = rng.choice(len(TEXTURES), 2, replace=False)
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.25) * size
    y, x = np.mgrid[:size, :size] - size / 2
    distance = x * np.cos(angle) + y * np.sin(angle) - offset
    texture = np.where(distance < 0, first, second).astype(np.uint8)
    image = np.where((distance < 0)[..., None], patch(rng, first, size), patch(rng, second, size))
    return image, texture, np.abs(distance) < SEAM_PIXELS


def _free_place(rng: np.random.Generator, stamp: Stamp, taken: np.ndarray) -> tuple[int, int]:
    """Top and left of a stamp: the least covered of a few random places, so that digits sometimes overlap but rarely pile up."""
    height, width = stamp.opacity.shape
    places = [
        (int(rng.integers(0, taken.shape[0] - height + 1)), int(rng.integers(0, taken.shape[1] - width + 1))) for _ in range(4)
    ]
    return min(places, key=lambda place: taken[place[0] : place[0] + height, place[1] : place[1] + width].sum())


def _covered(corners: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """bool [n, 4]: whether a digit pasted later covers each corner."""
    x, y = np.moveaxis(corners.astype(int).clip(0, len(owner) - 1), -1, 0)
    covered: np.ndarray = owner[y, x] > np.arange(len(corners))[:, None]
    return covered
