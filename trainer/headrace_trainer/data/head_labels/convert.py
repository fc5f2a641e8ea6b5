"""Targets and class tables of one task as those of another, along the shortest path of conversions.

They are converted after geometry, so they tell what the crop shows. What an edge does stands in the description of the task that it
leads to (`TaskDescription.made_from`). To a self-supervised task every edge does the same: it drops the annotations, and keeps the
label of tasks that have one per image, to score by.
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
    """The target of the path's last task, from one of its first task whose classes are `classes`."""
    for edge in itertools.pairwise(path):
        conversion = conversion_of(*edge)
        target = conversion.targets(target, classes)
        classes = conversion.classes(classes)
    return target


def classes_along(path: Sequence[Task], classes: ClassTable) -> ClassTable:
    """The class table of the path's last task, from that of its first."""
    for edge in itertools.pairwise(path):
        classes = conversion_of(*edge).classes(classes)
    return classes


def conversion_of(source: Task, target: Task) -> Conversion[Any, Any]:
    """The edge between two tasks of `headrace_api.tasks.CONVERSIONS`; KeyError where there is none."""
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
