"""Semantic segmentation: a class for every pixel.

Targets of a batch:

    map        int64   [B, H, W]  class, or IGNORE
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from headrace_api.tasks import Task
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.targets import IGNORE, ClassMap, Panoptic
from headrace_trainer.tasks.description import (
    Conversion,
    Field,
    Shapes,
    TaskDescription,
    classes_alone,
    learns_from_all,
    no_obstacle,
    no_warnings,
    rows_by_name,
    same_classes,
)


def _layout(shapes: Shapes) -> Mapping[str, Field]:
    return {"map": Field(shapes.canvas, IGNORE, "int64")}


def from_panoptic(target: Panoptic, _: ClassTable) -> ClassMap:
    """Each pixel's class, things and stuff alike; pixels outside all segments are ignored."""
    class_of = np.append(target.classes, IGNORE).astype(np.int32)  # index IGNORE = -1 is the last entry
    return ClassMap(class_of[target.segments])


DESCRIPTION: Final = TaskDescription[ClassMap](
    counted=None,
    layout=_layout,
    rows=rows_by_name,
    shows_pixels=False,
    made_from={Task.PANOPTIC_SEGMENTATION: Conversion(from_panoptic, same_classes)},
    one_label=False,
    label_space=classes_alone,
    learnable=learns_from_all,
    obstacle=no_obstacle,
    warnings=no_warnings,
    new_classes_in_val=False,
    reads_text=False,
    table=None,
)
