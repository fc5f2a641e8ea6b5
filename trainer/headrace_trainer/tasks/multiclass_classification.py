"""Multiclass classification: one class per image.

Targets of a batch:

    label      int64   [B]
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from headrace_api.dataset import Layer
from headrace_api.first_few import first_few
from headrace_api.heads import HeadOptions, MulticlassClassification
from headrace_api.tasks import Task
from headrace_trainer.data.annotations import Annotation, ImageLabel
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.tables.labels import single_labels
from headrace_trainer.data.tables.reader import are_whole_numbers
from headrace_trainer.data.targets import Identity, Label
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.tasks.description import (
    Conversion,
    Field,
    Shapes,
    TaskDescription,
    classes_alone,
    learns_from_all,
    no_obstacle,
    rows_by_name,
    same_classes,
)

_NAMED = 8


def _layout(_: Shapes) -> Mapping[str, Field]:
    return {"label": Field((), 0, "int64")}


def from_identity(target: Identity, _: ClassTable) -> Label:
    """Each identity is a class."""
    return Label(target.label)


def _warnings(options: HeadOptions, layer: Layer, labels: LabelSpace, _: Sequence[Annotation]) -> Iterator[str]:
    """Warn about an ordinal head if its dataset does not order the steps: "high, low, middle" is not a scale."""
    ordinal = isinstance(options, MulticlassClassification) and options.ordinal
    if ordinal and layer.classes is None and not are_whole_numbers(labels.classes):
        yield (
            f"is ordinal, but layer '{layer.name}' has no 'classes' in dataset.json, so its steps are in alphabetical order "
            f"({first_few(labels.classes, _NAMED)}); list the layer's 'classes' in the order of the scale"
        )


DESCRIPTION: Final = TaskDescription[Label](
    counted=None,
    layout=_layout,
    rows=rows_by_name,
    shows_pixels=False,
    made_from={Task.METRIC_LEARNING: Conversion(from_identity, same_classes)},
    one_label=True,
    label_space=classes_alone,
    learnable=learns_from_all,
    obstacle=no_obstacle,
    warnings=_warnings,
    new_classes_in_val=False,
    reads_text=False,
    table=partial(single_labels, ImageLabel, "label"),
)
