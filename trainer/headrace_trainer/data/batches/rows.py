"""How each task's targets lie in the padded tensors of a batch, as heads/base.py describes them: the shapes, and what fills a row.

Types are named, not torch's own: a dataset is opened, and its samples are made, without torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headrace_api.tasks import Task
from headrace_trainer.data.head_labels.convert import tight_boxes
from headrace_trainer.data.targets import (
    IGNORE,
    NO_LABEL,
    Array,
    Boxes,
    Instances,
    Keypoints,
    Panoptic,
    Quads,
    Target,
    Text,
)
from headrace_trainer.label_space import LabelSpace

NO_CHARACTER = -1
ABOUT_EVERY_PIXEL = frozenset({Task.ANOMALY_DETECTION, Task.AUTOENCODING})
"""Tasks that are about the image itself, not about what is annotated in it: they are told which pixels it has ("shown")."""


@dataclass(frozen=True)
class Field:
    """One tensor of a head's targets."""

    shape: tuple[int, ...]
    """Of one image."""
    padding: float
    dtype: Literal["float32", "int64", "bool"]


def layout(task: Task, labels: LabelSpace, most: int, canvas: tuple[int, int], beyond: int = 0) -> Mapping[str, Field]:
    """The tensors of a task by name, for images of (height, width) `canvas` with up to `most` objects or characters.

    Of up to `beyond` more objects there are boxes, which are not to be learnt from; where that is 0, there is no such tensor.
    """
    objects = {
        "classes": Field((most,), 0, "int64"),
        "valid": Field((most,), False, "bool"),
        "crowd": Field((most,), False, "bool"),
    }
    boxes = {"boxes": Field((most, 4), 0, "float32"), **objects}
    points, numbers = (most, len(labels.keypoints)), (len(labels.values),)
    no_label = {"label": Field((), NO_LABEL, "int64")}
    layouts: dict[Task, Mapping[str, Field]] = {
        Task.PANOPTIC_SEGMENTATION: {"segments": Field(canvas, IGNORE, "int64"), **objects},
        Task.INSTANCE_SEGMENTATION: {**boxes, "masks": Field((most, *canvas), False, "bool")},
        Task.SEMANTIC_SEGMENTATION: {"map": Field(canvas, IGNORE, "int64")},
        Task.KEYPOINT_DETECTION: {
            **boxes,
            "keypoints": Field((*points, 2), 0, "float32"),
            "visibility": Field(points, 0, "int64"),
            "area": Field((most,), 0, "float32"),
        },
        Task.QUADRILATERAL_DETECTION: {"quads": Field((most, 4, 2), 0, "float32"), **objects},
        Task.OBJECT_DETECTION: boxes,
        Task.MULTILABEL_CLASSIFICATION: {"labels": Field((len(labels.classes),), 0, "float32")},
        Task.MULTICLASS_CLASSIFICATION: {"label": Field((), 0, "int64")},
        Task.METRIC_LEARNING: {"label": Field((), 0, "int64")},
        Task.REGRESSION: {"values": Field(numbers, 0, "float32"), "known": Field(numbers, False, "bool")},
        Task.DEPTH_ESTIMATION: {"depth": Field(canvas, 0, "float32"), "known": Field(canvas, False, "bool")},
        Task.ANOMALY_DETECTION: {
            "anomalous": Field((), False, "bool"),
            "mask": Field(canvas, False, "bool"),
            "has_mask": Field((), False, "bool"),
        },
        Task.TEXT_RECOGNITION: {"text": Field((most,), NO_CHARACTER, "int64")},
        Task.AUTOENCODING: no_label,
        Task.VIEW_INVARIANCE: no_label,
    }
    shown = {"shown": Field(canvas, False, "bool")} if task in ABOUT_EVERY_PIXEL else {}
    ignored = {"beyond": Field((beyond, 4), 0, "float32")} if beyond else {}
    return {**layouts[task], **shown, **ignored}


def rows_of(target: Target, labels: LabelSpace, most: int) -> dict[str, Array]:
    """What goes to the start of the image's row in each tensor. Of more than `most` objects the largest stay.

    The boxes of the others are "beyond": a network that finds them, too, must not be told that nothing is there.
    """
    match target:
        case Panoptic():
            return _segments(target, labels, most)
        case Text():
            return {"text": np.array([labels.alphabet.index(character) for character in target.text], np.int64)}
        case Boxes() | Keypoints():
            return _objects(target, target.boxes, _areas(target.boxes), most)
        case Quads():
            objects = _objects(target, target.bounds, _areas(target.bounds), most)
            return {name: values for name, values in objects.items() if name not in ("boxes", "bounds")}
        case Instances():
            return _objects(target, tight_boxes(target.masks), target.masks.sum(axis=(1, 2)), most)
    return {name: np.asarray(values) for name, values in vars(target).items()}


def _objects(target: Boxes | Instances | Keypoints | Quads, boxes: Array, areas: Array, most: int) -> dict[str, Array]:
    """All that is known of the largest objects; of the others, if any, the boxes alone."""
    kept = _largest(areas, most)
    rows = {name: values[kept] for name, values in {**vars(target), "boxes": boxes}.items()}
    rows["valid"] = np.ones(len(kept), np.bool_)
    return rows if len(kept) == len(areas) else {**rows, "beyond": np.delete(boxes, kept, axis=0)}


def _segments(target: Panoptic, labels: LabelSpace, most: int) -> dict[str, Array]:
    """The segments to be seen. A thing of which the crop shows too little is ignored; of stuff, any pixel counts."""
    pixels = np.bincount(target.segments[target.segments != IGNORE], minlength=len(target.classes))
    stuff = ~np.array(labels.things, np.bool_)[target.classes]
    shown = np.flatnonzero((pixels > 0) & (target.whole | stuff))
    kept = shown[_largest(pixels[shown], most)]
    number = np.full(len(target.classes) + 1, IGNORE)  # index IGNORE = -1 is the last entry
    number[kept] = np.arange(len(kept))
    return {
        "segments": number[target.segments],
        "classes": target.classes[kept],
        "crowd": target.crowd[kept],
        "valid": np.ones(len(kept), np.bool_),
    }


def _areas(boxes: Array) -> Array:
    areas: Array = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return areas


def _largest(areas: Array, most: int) -> Array:
    """Indices of the `most` largest, in the order they have."""
    if len(areas) <= most:
        return np.arange(len(areas))
    return np.sort(np.argsort(-areas, kind="stable")[:most])
