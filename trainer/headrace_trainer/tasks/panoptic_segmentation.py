"""Panoptic segmentation: a segment for every pixel.

Targets of a batch (B images, N segments, padded):

    segments   int64   [B, H, W]  index into the N segments, or IGNORE
    classes    int64   [B, N]
    valid      bool    [B, N]     False is padding; valid segments have at least one pixel
    crowd      bool    [B, N]
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from headrace_trainer.data.targets import IGNORE, Array, Panoptic
from headrace_trainer.tasks.description import (
    Counted,
    Field,
    Shapes,
    TaskDescription,
    classes_alone,
    learns_from_all,
    no_obstacle,
    no_warnings,
)
from headrace_trainer.tasks.objects import largest, object_fields


def _layout(shapes: Shapes) -> Mapping[str, Field]:
    return {"segments": Field(shapes.canvas, IGNORE, "int64"), **object_fields(shapes.most)}


def _rows(target: Panoptic, shapes: Shapes) -> Mapping[str, Array]:
    """The visible segments. A thing is ignored if the crop shows too little of it; for stuff, any pixel counts."""
    pixels = np.bincount(target.segments[target.segments != IGNORE], minlength=len(target.classes))
    stuff = ~np.array(shapes.labels.things, np.bool_)[target.classes]
    shown = np.flatnonzero((pixels > 0) & (target.whole | stuff))
    kept = shown[largest(pixels[shown], shapes.most)]
    number = np.full(len(target.classes) + 1, IGNORE)  # index IGNORE = -1 is the last entry
    number[kept] = np.arange(len(kept))
    return {
        "segments": number[target.segments],
        "classes": target.classes[kept],
        "crowd": target.crowd[kept],
        "valid": np.ones(len(kept), np.bool_),
    }


DESCRIPTION: Final = TaskDescription[Panoptic](
    counted=Counted("segments", negatives=True, most_learnt=None),
    layout=_layout,
    rows=_rows,
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
