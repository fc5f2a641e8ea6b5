"""What tasks about objects share: tensors padded to a number of objects, and which objects to keep if there are more."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from headrace_trainer.data.targets import Array, Boxes, Instances, Keypoints, Quads
from headrace_trainer.tasks.description import Field, Shapes

MOST_BOXES: Final = 300
"""The most objects per image that training learns from. The boxes of others are cheap to keep, and are ignored ("beyond")."""
MOST_MASKS: Final = 100


def object_fields(most: int) -> dict[str, Field]:
    """Each object's class, whether it exists, and whether it is a crowd."""
    return {
        "classes": Field((most,), 0, "int64"),
        "valid": Field((most,), False, "bool"),
        "crowd": Field((most,), False, "bool"),
    }


def box_fields(shapes: Shapes) -> dict[str, Field]:
    """Objects with boxes."""
    return {"boxes": Field((shapes.most, 4), 0, "float32"), **object_fields(shapes.most)}


def object_rows(target: Boxes | Instances | Keypoints | Quads, boxes: Array, areas: Array, most: int) -> dict[str, Array]:
    """Everything about the `most` largest objects; for the others, if any, only their boxes, under "beyond".

    A network that finds the others must not learn that nothing is there. `boxes` is float32 [n, 4], `areas` [n].
    """
    kept = largest(areas, most)
    rows = {name: values[kept] for name, values in {**vars(target), "boxes": boxes}.items()}
    rows["valid"] = np.ones(len(kept), np.bool_)
    return rows if len(kept) == len(areas) else {**rows, "beyond": np.delete(boxes, kept, axis=0)}


def box_rows(target: Boxes | Keypoints, shapes: Shapes) -> Mapping[str, Array]:
    """`TaskDescription.rows` for objects that come with boxes."""
    return object_rows(target, target.boxes, box_areas(target.boxes), shapes.most)


def box_areas(boxes: Array) -> Array:
    """float32 [n] from boxes [n, 4]."""
    areas: Array = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return areas


def largest(areas: Array, most: int) -> Array:
    """Indices of the `most` largest, in ascending order."""
    if len(areas) <= most:
        return np.arange(len(areas))
    return np.sort(np.argsort(-areas, kind="stable")[:most])


def tight_boxes(masks: Array) -> Array:
    """float32 [n, 4], half-open, from masks bool [n, H, W] that are not empty."""
    n, height, width = masks.shape
    if not n:
        return np.zeros((0, 4), np.float32)
    columns, rows = np.any(masks, axis=1), np.any(masks, axis=2)
    left, top = columns.argmax(axis=1), rows.argmax(axis=1)
    right, bottom = width - columns[:, ::-1].argmax(axis=1), height - rows[:, ::-1].argmax(axis=1)
    return np.stack((left, top, right, bottom), axis=1).astype(np.float32)
