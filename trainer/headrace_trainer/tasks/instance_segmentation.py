"""Instance segmentation: a mask and a class for each object.

Targets of a batch: those of object detection, plus

    masks      bool    [B, N, H, W]  may overlap; each is inside its box, which is tight
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from headrace_api.tasks import Task
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.targets import IGNORE, Array, Instances, Panoptic
from headrace_trainer.tasks.description import (
    Conversion,
    Counted,
    Field,
    Shapes,
    TaskDescription,
    classes_alone,
    learns_from_all,
    no_obstacle,
    no_warnings,
)
from headrace_trainer.tasks.objects import MOST_MASKS, box_fields, object_rows, tight_boxes


def _layout(shapes: Shapes) -> Mapping[str, Field]:
    return {**box_fields(shapes), "masks": Field((shapes.most, *shapes.canvas), False, "bool")}


def _rows(target: Instances, shapes: Shapes) -> Mapping[str, Array]:
    return object_rows(target, tight_boxes(target.masks), target.masks.sum(axis=(1, 2)), shapes.most)


def from_panoptic(target: Panoptic, classes: ClassTable) -> Instances:
    """The visible segments of countable classes, without stuff."""
    thing_index = _thing_index(classes)
    counts = np.bincount(target.segments[target.segments != IGNORE], minlength=len(target.classes))
    kept = np.flatnonzero((thing_index[target.classes] >= 0) & (counts > 0) & target.whole)
    masks = np.equal(target.segments, kept[:, None, None])
    return Instances(masks, thing_index[target.classes[kept]], target.crowd[kept])


def only_things(classes: ClassTable) -> ClassTable:
    """The countable classes ("isthing"), in order, renumbered from 0."""
    kept = [index for index, thing in enumerate(classes.things) if thing]
    return ClassTable(tuple(classes.names[index] for index in kept), tuple(classes.ids[index] for index in kept))


def _thing_index(classes: ClassTable) -> Array:
    """int64 [C]: the index of each class in `only_things`, -1 for stuff."""
    things = np.array(classes.things, np.bool_)
    return np.where(things, things.cumsum() - 1, -1)


DESCRIPTION: Final = TaskDescription[Instances](
    counted=Counted("objects", negatives=True, most_learnt=MOST_MASKS),
    layout=_layout,
    rows=_rows,
    shows_pixels=False,
    made_from={Task.PANOPTIC_SEGMENTATION: Conversion(from_panoptic, only_things)},
    one_label=False,
    label_space=classes_alone,
    learnable=learns_from_all,
    obstacle=no_obstacle,
    warnings=no_warnings,
    new_classes_in_val=False,
    reads_text=False,
    table=None,
)
