"""Task conversions: for each edge of `headrace_api.tasks.CONVERSIONS`, a pure function of targets and one of class tables.

They run after geometry, so that what they tell is what the crop shows. What becomes of the classes:

    panoptic  → semantic    all classes, things and stuff alike
    panoptic  → instances   the things ("isthing"), in order, numbered anew; stuff segments are left out
    all other edges         the same table
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_api.tasks import Task
from headrace_trainer.data.classes import ClassTable
from headrace_trainer.data.targets import IGNORE, Array, Boxes, ClassMap, Instances, Label, Labels, Panoptic, Target


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
    n, height, width = target.masks.shape
    if not n:
        return Boxes(np.zeros((0, 4), np.float32), target.classes, target.crowd)
    columns, rows = np.any(target.masks, axis=1), np.any(target.masks, axis=2)
    left, top = columns.argmax(axis=1), rows.argmax(axis=1)
    right, bottom = width - columns[:, ::-1].argmax(axis=1), height - rows[:, ::-1].argmax(axis=1)
    return Boxes(np.stack((left, top, right, bottom), axis=1).astype(np.float32), target.classes, target.crowd)


def boxes_to_labels(target: Boxes, classes: ClassTable) -> Labels:
    """The classes that occur; a crowd counts, since its class is to be seen."""
    return _labels(target.classes, classes)


def map_to_labels(target: ClassMap, classes: ClassTable) -> Labels:
    """The classes of at least one pixel."""
    return _labels(np.unique(target.map[target.map != IGNORE]), classes)


def label_to_labels(target: Label, classes: ClassTable) -> Labels:
    """One-hot."""
    return _labels(np.array([target.label]), classes)


def only_things(classes: ClassTable) -> ClassTable:
    """The countable classes, in order."""
    kept = [index for index, thing in enumerate(classes.things) if thing]
    return ClassTable(tuple(classes.names[index] for index in kept), tuple(classes.ids[index] for index in kept))


def _same(classes: ClassTable) -> ClassTable:
    return classes


def _thing_index(classes: ClassTable) -> Array:
    """int64 [C]: the index of each class in `only_things`, -1 for stuff."""
    things = np.array(classes.things, np.bool_)
    return np.where(things, things.cumsum() - 1, -1)


def _labels(present: Array, classes: ClassTable) -> Labels:
    labels = np.zeros(len(classes), np.bool_)
    labels[present] = True
    return Labels(labels)


CONVERTERS: dict[tuple[Task, Task], Conversion] = {
    (Task.PANOPTIC_SEGMENTATION, Task.SEMANTIC_SEGMENTATION): Conversion(panoptic_to_semantic, _same),
    (Task.PANOPTIC_SEGMENTATION, Task.INSTANCE_SEGMENTATION): Conversion(panoptic_to_instances, only_things),
    (Task.INSTANCE_SEGMENTATION, Task.OBJECT_DETECTION): Conversion(instances_to_boxes, _same),
    (Task.OBJECT_DETECTION, Task.MULTILABEL_CLASSIFICATION): Conversion(boxes_to_labels, _same),
    (Task.SEMANTIC_SEGMENTATION, Task.MULTILABEL_CLASSIFICATION): Conversion(map_to_labels, _same),
    (Task.MULTICLASS_CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION): Conversion(label_to_labels, _same),
}
"""Exactly the edges of `CONVERSIONS` (a test compares them)."""
