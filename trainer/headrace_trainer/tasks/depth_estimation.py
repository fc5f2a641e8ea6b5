"""Depth estimation: a depth for every pixel.

Targets of a batch:

    depth      float32 [B, H, W]
    known      bool    [B, H, W]
"""

from collections.abc import Mapping
from typing import Final

from headrace_trainer.data.targets import Depth
from headrace_trainer.tasks.description import (
    Field,
    Shapes,
    TaskDescription,
    classes_alone,
    learns_from_all,
    no_obstacle,
    no_warnings,
    rows_by_name,
)


def _layout(shapes: Shapes) -> Mapping[str, Field]:
    return {"depth": Field(shapes.canvas, 0, "float32"), "known": Field(shapes.canvas, False, "bool")}


DESCRIPTION: Final = TaskDescription[Depth](
    counted=None,
    layout=_layout,
    rows=rows_by_name,
    shows_pixels=False,
    made_from={},
    one_label=False,
    label_space=classes_alone,
    learnable=learns_from_all,
    obstacle=no_obstacle,
    warnings=no_warnings,
    new_classes_in_val=False,
    reads_text=False,
    table=None,
)
