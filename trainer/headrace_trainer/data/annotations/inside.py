"""Keeps annotations inside their image: clips boxes, drops what is entirely outside, and counts both.

Sizes are (height, width) in the units of the coordinates: pixels, or (1, 1) for fractions; None if not stated.
"""

from collections.abc import Iterable

import numpy as np

from headrace_trainer.data.problems import BadSampleError, Problems
from headrace_trainer.data.targets import Array

Size = tuple[int, int]
_FARTHEST = 10.0
"""No object extends farther out of its image than this many times the longer side. Long polygon sides take memory to draw."""


def clip_boxes(boxes: Array, size: Size | None, problems: Problems) -> tuple[Array, Array]:
    """Which boxes have area inside an image of `size` (height, width), bool [n], and those, float32 [k, 4], clipped to it."""
    limit = np.array((size[1], size[0]) * 2 if size else (np.inf,) * 4, np.float32)
    clipped = boxes.clip(0, limit)
    sides = clipped[:, 2:] - clipped[:, :2]
    kept = (sides > 0).all(axis=1)
    # Rounded coordinates can put a box's edge a fraction of a pixel outside, which is not worth reporting.
    moved = (np.abs(clipped - boxes) > 1e-3 * np.where(np.isfinite(limit), limit, 1)).any(axis=1)
    problems.mended("boxes clipped to their image", int((moved & kept).sum()))
    problems.mended("boxes dropped: no area inside their image", int((~kept).sum()))
    return kept, clipped[kept]


def rings_inside(rings: Iterable[Array], size: Size | None) -> tuple[Array, ...]:
    """The rings, each [k, 2], whose bounds overlap an image of `size` (height, width)."""
    limit = np.array(size[::-1] if size else (np.inf, np.inf))
    return tuple(ring for ring in rings if (ring.max(axis=0) > 0).all() and (ring.min(axis=0) < limit).all())


def check_near(rings: Iterable[Array], size: Size, where: str) -> None:
    """Raise BadSampleError if a polygon [k, 2] has a corner so far outside an image of `size` that it must be a mistake."""
    farthest = _FARTHEST * max(size)
    for ring in rings:
        if len(far := ring[((ring < -farthest) | (ring > farthest + np.array(size[::-1]))).any(axis=1)]):
            x, y = far[0].tolist()
            raise BadSampleError(
                f"{where}: a polygon's corner at ({x:g}, {y:g}) is far outside the image of {size[1]} x {size[0]} pixels"
            )


def quads_inside(quads: Array, size: Size, problems: Problems) -> Array:
    """bool [n]: which quadrilaterals [n, 4, 2] have bounds that overlap an image of `size`."""
    inside: Array = (quads.max(axis=1) > 0).all(axis=1) & (quads.min(axis=1) < size[::-1]).all(axis=1)
    problems.mended("quadrilaterals dropped: outside their image", int((~inside).sum()))
    return inside


def seen_inside(points: Array, visibility: Array, size: Size | None, problems: Problems) -> Array:
    """`visibility` int64 [n, K], set to 0 where a point [n, K, 2] is outside an image of `size` (height, width)."""
    limit = np.array(size[::-1] if size else (np.inf, np.inf))
    outside = (visibility > 0) & ((points < 0) | (points > limit)).any(axis=-1)
    problems.mended("keypoints outside their image treated as not labelled", int(outside.sum()))
    seen = np.where(outside, 0, visibility)
    problems.mended("objects without a labelled keypoint, used only for boxes", int((seen == 0).all(axis=-1).sum()))
    return seen
