"""Task conversions: for each edge of `headrace_api.tasks.CONVERSIONS`, a pure function of targets and one of class tables.

They run after geometry, so that what they tell is what the crop shows. What becomes of the classes:

    panoptic → semantic         all classes, things and stuff alike
    panoptic → instances        the things ("isthing"), in order, numbered anew; stuff segments are left out
    any → self-supervised       those of multiclass and metric learning are kept, to score by; of all others none: they are ignored
    all other edges             the same table

Conversions that need a choice: the box of a mask is tight, its edges those of pixels (half-open); the box of a quadrilateral is the
tight one around what the canvas shows of it; the box of keypoints is the one annotated for their object; a box becomes the
quadrilateral of its corners, clockwise from the top left.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_api.tasks import CONVERSIONS, Task
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.targets import (
    IGNORE,
    NO_LABEL,
    Array,
    Boxes,
    ClassMap,
    Identity,
    ImageOnly,
    Instances,
    Keypoints,
    Label,
    Labels,
    Panoptic,
    Quads,
    Target,
)


@dataclass(frozen=True)
class Conversion:
    """An edge of the graph. Both functions take the class table of the edge's source."""

    targets: Callable[[Any, ClassTable], Target]
    classes: Callable[[ClassTable], ClassTable]


def convert_along(path: Sequence[Task], target: Target, classes: ClassTable) -> Target:
    """The target of the path's last task, from one of its first task whose classes are `classes`."""
    for edge in itertools.pairwise(path):
        target = CONVERTERS[edge].targets(target, classes)
        classes = CONVERTERS[edge].classes(classes)
    return target


def classes_along(path: Sequence[Task], classes: ClassTable) -> ClassTable:
    """The class table of the path's last task, from that of its first."""
    for edge in itertools.pairwise(path):
        classes = CONVERTERS[edge].classes(classes)
    return classes


def panoptic_to_semantic(target: Panoptic, _: ClassTable) -> ClassMap:
    """Each pixel's class; pixels of no segment are ignored."""
    class_of = np.append(target.classes, IGNORE).astype(np.int32)  # index IGNORE = -1 is the last entry
    return ClassMap(class_of[target.segments])


def panoptic_to_instances(target: Panoptic, classes: ClassTable) -> Instances:
    """The visible segments of countable classes."""
    thing_index = _thing_index(classes)
    counts = np.bincount(target.segments[target.segments != IGNORE], minlength=len(target.classes))
    kept = np.flatnonzero((thing_index[target.classes] >= 0) & (counts > 0) & target.whole)
    masks = np.equal(target.segments, kept[:, None, None])
    return Instances(masks, thing_index[target.classes[kept]], target.crowd[kept])


def instances_to_boxes(target: Instances, _: ClassTable) -> Boxes:
    """The tight half-open box of each mask."""
    return Boxes(tight_boxes(target.masks), target.classes, target.crowd)


def tight_boxes(masks: Array) -> Array:
    """float32 [n, 4], half-open, of masks bool [n, H, W] that are not empty."""
    n, height, width = masks.shape
    if not n:
        return np.zeros((0, 4), np.float32)
    columns, rows = np.any(masks, axis=1), np.any(masks, axis=2)
    left, top = columns.argmax(axis=1), rows.argmax(axis=1)
    right, bottom = width - columns[:, ::-1].argmax(axis=1), height - rows[:, ::-1].argmax(axis=1)
    return np.stack((left, top, right, bottom), axis=1).astype(np.float32)


def keypoints_to_boxes(target: Keypoints, _: ClassTable) -> Boxes:
    """The objects' boxes, those of objects without a labelled keypoint too."""
    return Boxes(target.boxes, target.classes, target.crowd)


def quads_to_boxes(target: Quads, _: ClassTable) -> Boxes:
    """The bounds of what the canvas shows of each."""
    return Boxes(target.bounds, target.classes, target.crowd)


def boxes_to_quads(target: Boxes, _: ClassTable) -> Quads:
    """The corners, clockwise from the top left."""
    return Quads(target.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]], target.classes, target.crowd, target.boxes)


def boxes_to_labels(target: Boxes, classes: ClassTable) -> Labels:
    """The classes that occur; a crowd counts, since its class is to be seen."""
    return _labels(target.classes, classes)


def map_to_labels(target: ClassMap, classes: ClassTable) -> Labels:
    """The classes of at least one pixel."""
    return _labels(np.unique(target.map[target.map != IGNORE]), classes)


def label_to_labels(target: Label, classes: ClassTable) -> Labels:
    """One-hot."""
    return _labels(np.array([target.label]), classes)


def label_to_identity(target: Label, _: ClassTable) -> Identity:
    """Images of one class are images of one identity."""
    return Identity(target.label)


def identity_to_label(target: Identity, _: ClassTable) -> Label:
    """The identities as classes."""
    return Label(target.label)


def label_to_image(target: Label | Identity | ImageOnly, _: ClassTable) -> ImageOnly:
    """The image alone; its label is kept to score by."""
    return ImageOnly(target.label)


def any_to_image(_: Target, __: ClassTable) -> ImageOnly:
    """The image alone."""
    return ImageOnly(NO_LABEL)


def only_things(classes: ClassTable) -> ClassTable:
    """The countable classes, in order."""
    kept = [index for index, thing in enumerate(classes.things) if thing]
    return ClassTable(tuple(classes.names[index] for index in kept), tuple(classes.ids[index] for index in kept))


def _same(classes: ClassTable) -> ClassTable:
    return classes


def _none(_: ClassTable) -> ClassTable:
    return ClassTable((), ())


def _thing_index(classes: ClassTable) -> Array:
    """int64 [C]: the index of each class in `only_things`, -1 for stuff."""
    things = np.array(classes.things, np.bool_)
    return np.where(things, things.cumsum() - 1, -1)


def _labels(present: Array, classes: ClassTable) -> Labels:
    labels = np.zeros(len(classes), np.bool_)
    labels[present] = True
    return Labels(labels)


_KEEP_LABEL = frozenset({Task.MULTICLASS_CLASSIFICATION, Task.METRIC_LEARNING, Task.AUTOENCODING, Task.VIEW_INVARIANCE})
"""What has one label an image, or (self-supervised) had one before it was converted."""


def _self_supervised(source: Task) -> Conversion:
    return Conversion(label_to_image, _same) if source in _KEEP_LABEL else Conversion(any_to_image, _none)


CONVERTERS: dict[tuple[Task, Task], Conversion] = {
    (Task.PANOPTIC_SEGMENTATION, Task.SEMANTIC_SEGMENTATION): Conversion(panoptic_to_semantic, _same),
    (Task.PANOPTIC_SEGMENTATION, Task.INSTANCE_SEGMENTATION): Conversion(panoptic_to_instances, only_things),
    (Task.INSTANCE_SEGMENTATION, Task.OBJECT_DETECTION): Conversion(instances_to_boxes, _same),
    (Task.KEYPOINT_DETECTION, Task.OBJECT_DETECTION): Conversion(keypoints_to_boxes, _same),
    (Task.QUADRILATERAL_DETECTION, Task.OBJECT_DETECTION): Conversion(quads_to_boxes, _same),
    (Task.OBJECT_DETECTION, Task.QUADRILATERAL_DETECTION): Conversion(boxes_to_quads, _same),
    (Task.OBJECT_DETECTION, Task.MULTILABEL_CLASSIFICATION): Conversion(boxes_to_labels, _same),
    (Task.SEMANTIC_SEGMENTATION, Task.MULTILABEL_CLASSIFICATION): Conversion(map_to_labels, _same),
    (Task.MULTICLASS_CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION): Conversion(label_to_labels, _same),
    (Task.MULTICLASS_CLASSIFICATION, Task.METRIC_LEARNING): Conversion(label_to_identity, _same),
    (Task.METRIC_LEARNING, Task.MULTICLASS_CLASSIFICATION): Conversion(identity_to_label, _same),
    **{(task, target): _self_supervised(task) for task in Task for target in CONVERSIONS[task] if target.self_supervised},
}
"""Exactly the edges of `CONVERSIONS` (a test compares them)."""
