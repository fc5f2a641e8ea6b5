"""Metric learning: tells who or what an image shows, by vectors that are close together for the same identity.

Targets of a batch:

    label      int64   [B]        identity
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from headrace_api.tasks import Task
from headrace_trainer.data.annotations import IdentityLabel
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.tables.labels import single_labels
from headrace_trainer.data.targets import Identity, Label
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


def _layout(_: Shapes) -> Mapping[str, Field]:
    return {"label": Field((), 0, "int64")}


def from_label(target: Label, _: ClassTable) -> Identity:
    """Images of the same class count as the same identity."""
    return Identity(target.label)


DESCRIPTION: Final = TaskDescription[Identity](
    counted=None,
    layout=_layout,
    rows=rows_by_name,
    shows_pixels=False,
    made_from={Task.MULTICLASS_CLASSIFICATION: Conversion(from_label, same_classes)},
    one_label=True,
    label_space=classes_alone,
    learnable=learns_from_all,
    obstacle=no_obstacle,
    warnings=no_warnings,
    new_classes_in_val=True,
    reads_text=False,
    table=partial(single_labels, IdentityLabel, "identity"),
)
