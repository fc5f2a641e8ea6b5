"""What of an image's annotations lies inside it: boxes are clipped, what is wholly outside is dropped, and both are counted.

Sizes are (height, width) in the units of the coordinates: pixels, or (1, 1) for shares; None where nobody stated them.
"""

from collections.abc import Iterable

import numpy as np

from headrace_trainer.data.problems import BadSampleError, Problems
from headrace_trainer.data.targets import Array

Size = tuple[int, int]
_FARTHEST = 10.0
"""Times an image's longer side: no object reaches farther out of it. To draw a polygon takes memory by the length of its sides."""


def clip_boxes(boxes: Array, size: Size | None, problems: Problems) -> tuple[Array, Array]:
    """Which boxes have any area inside an image of `size` (height, width), bool [n], and these, float32 [k, 4], clipped to it."""
    limit = np.array((size[1], size[0]) * 2 if size else (np.inf,) * 4, np.float32)
    clipped = boxes.clip(0, limit)
    sides = clipped[:, 2:] - clipped[:, :2]
    kept = (sides > 0).all(axis=1)
    # Files that round coordinates put a box's edge a fraction of a pixel outside; that is nothing to report.
    moved = (np.abs(clipped - boxes) > 1e-3 * np.where(np.isfinite(limit), limit, 1)).any(axis=1)
    problems.mended("boxes that reach out of their image clipped", int((moved & kept).sum()))
    problems.mended("boxes without area in their image dropped", int((~kept).sum()))
    return kept, clipped[kept]


def rings_inside(rings: Iterable[Array], size: Size | None) -> tuple[Array, ...]:
    """Those rings, each [k, 2], whose bounds reach into an image of `size` (height, width)."""
    limit = np.array(size[::-1] if size else (np.inf, np.inf))
    return tuple(ring for ring in rings if (ring.max(axis=0) > 0).all() and (ring.min(axis=0) < limit).all())


def check_near(rings: Iterable[Array], size: Size, where: str) -> None:
    """Raise BadSampleError where a polygon [k, 2] has a corner so far out of an image of `size` that it must be a mistake."""
    farthest = _FARTHEST * max(size)
    for ring in rings:
        if len(far := ring[((ring < -farthest) | (ring > farthest + np.array(size[::-1]))).any(axis=1)]):
            x, y = far[0].tolist()
            raise BadSampleError(
                f"{where}: a polygon's corner at ({x:g}, {y:g}) is far out of the image's {size[1]} x {size[0]} pixels"
            )


def quads_inside(quads: Array, size: Size, problems: Problems) -> Array:
    """bool [n]: which quadrilaterals [n, 4, 2] have bounds that reach into an image of `size`."""
    inside: Array = (quads.max(axis=1) > 0).all(axis=1) & (quads.min(axis=1) < size[::-1]).all(axis=1)
    problems.mended("quadrilaterals outside their image dropped", int((~inside).sum()))
    return inside


def seen_inside(points: Array, visibility: Array, size: Size | None, problems: Problems) -> Array:
    """`visibility` int64 [n, K], 0 also where a point [n, K, 2] lies outside an image of `size` (height, width)."""
    limit = np.array(size[::-1] if size else (np.inf, np.inf))
    outside = (visibility > 0) & ((points < 0) | (points > limit)).any(axis=-1)
    problems.mended("keypoints outside their image taken as not labelled", int(outside.sum()))
    seen = np.where(outside, 0, visibility)
    problems.mended("objects without a labelled keypoint, which show where boxes are", int((seen == 0).all(axis=-1).sum()))
    return seen
