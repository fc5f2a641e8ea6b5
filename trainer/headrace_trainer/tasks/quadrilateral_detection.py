"""Quadrilateral detection: four corners of each object, in reading order, and its class.

Targets of a batch (B images, N objects, padded):

    quads      float32 [B, N, 4, 2]  x, y in pixels: corners clockwise on screen from where reading begins (top left); not
                                     renumbered by position, and not clipped
    classes    int64   [B, N]
    valid      bool    [B, N]        False is padding
    crowd      bool    [B, N]        True: illegible ("###"); not learnt from, ignored by the metric
    beyond     float32 [B, I, 4]     as in object detection
"""

from collections.abc import Mapping
from typing import Final

from headrace_api.tasks import Task
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.tables.quads import read_quads
from headrace_trainer.data.targets import Array, Boxes, Quads
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
    same_classes,
)
from headrace_trainer.tasks.objects import MOST_BOXES, box_areas, object_fields, object_rows


def _layout(shapes: Shapes) -> Mapping[str, Field]:
    return {"quads": Field((shapes.most, 4, 2), 0, "float32"), **object_fields(shapes.most)}


def _rows(target: Quads, shapes: Shapes) -> Mapping[str, Array]:
    rows = object_rows(target, target.bounds, box_areas(target.bounds), shapes.most)
    return {name: values for name, values in rows.items() if name not in ("boxes", "bounds")}


def from_boxes(target: Boxes, _: ClassTable) -> Quads:
    """The corners, clockwise from the top left."""
    return Quads(target.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]], target.classes, target.crowd, target.boxes)


DESCRIPTION: Final = TaskDescription[Quads](
    counted=Counted("quadrilaterals", negatives=True, most_learnt=MOST_BOXES),
    layout=_layout,
    rows=_rows,
    shows_pixels=False,
    made_from={Task.OBJECT_DETECTION: Conversion(from_boxes, same_classes)},
    one_label=False,
    label_space=classes_alone,
    learnable=learns_from_all,
    obstacle=no_obstacle,
    warnings=no_warnings,
    new_classes_in_val=False,
    reads_text=False,
    table=read_quads,
)
