"""Converts targets and class tables from one task to another, along the shortest path of conversions.

Conversion comes after geometry, so targets describe what the crop shows. The description of an edge's target task defines the edge
(`TaskDescription.made_from`). All edges to self-supervised tasks are the same: they drop the annotations, but keep the label of
tasks that have one per image, for scoring.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from headrace_api.tasks import Task
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.targets import NO_LABEL, ImageOnly, Target
from headrace_trainer.tasks import describe
from headrace_trainer.tasks.description import Conversion, same_classes


def convert_along(path: Sequence[Task], target: Target, classes: ClassTable) -> Target:
    """Convert a target of the path's first task, whose classes are `classes`, to its last task."""
    for edge in itertools.pairwise(path):
        conversion = conversion_of(*edge)
        target = conversion.targets(target, classes)
        classes = conversion.classes(classes)
    return target


def classes_along(path: Sequence[Task], classes: ClassTable) -> ClassTable:
    """Convert the class table of the path's first task to its last task."""
    for edge in itertools.pairwise(path):
        classes = conversion_of(*edge).classes(classes)
    return classes


def conversion_of(source: Task, target: Task) -> Conversion[Any, Any]:
    """The edge between two tasks of `headrace_api.tasks.CONVERSIONS`; raises KeyError if there is none."""
    if not target.self_supervised:
        return describe(target).made_from[source]
    return _LABEL_KEPT if describe(source).one_label else _IMAGE_ALONE


def _label_kept(target: Any, _: ClassTable) -> ImageOnly:
    return ImageOnly(target.label)


def _image_alone(_: Target, __: ClassTable) -> ImageOnly:
    return ImageOnly(NO_LABEL)


def _no_classes(_: ClassTable) -> ClassTable:
    return ClassTable((), ())


_LABEL_KEPT = Conversion[Any, ImageOnly](_label_kept, same_classes)
_IMAGE_ALONE = Conversion[Any, ImageOnly](_image_alone, _no_classes)
