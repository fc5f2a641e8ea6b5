"""Regression: one or more numbers per image.

Targets of a batch (D values):

    values     float32 [B, D]     in the annotations' own units
    known      bool    [B, D]     False: this value is unknown
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from headrace_api.dataset import Layer
from headrace_trainer.counted import counted
from headrace_trainer.data.annotations import Annotation, ValueList
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import LayerData, bad_layer
from headrace_trainer.data.tables.labels import annotations_in
from headrace_trainer.data.tables.reader import ImageRows, Table, as_number, only_row
from headrace_trainer.data.targets import Array, Values
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.tasks.description import Field, Shapes, TaskDescription, learns_from_all, no_warnings, rows_by_name


def _layout(shapes: Shapes) -> Mapping[str, Field]:
    numbers = (len(shapes.labels.values),)
    return {"values": Field(numbers, 0, "float32"), "known": Field(numbers, False, "bool")}


def _label_space(labels: LabelSpace, layer: LayerData, train: Mapping[str, Annotation]) -> LabelSpace:
    """Add means and deviations, summed in order of image name: the same to the last bit on every machine."""
    numbers = _numbers(layer, train)
    if not len(numbers):
        return replace(labels, values=layer.values)  # a head without labels is refused later, with the reason
    deviations = np.nanstd(numbers, axis=0)
    return replace(
        labels,
        values=layer.values,
        means=tuple(np.nanmean(numbers, axis=0).tolist()),
        deviations=tuple(np.where(deviations > 0, deviations, 1.0).tolist()),
    )


def _obstacle(layer: LayerData, train: Mapping[str, Annotation]) -> str | None:
    """A value that no training image has. Having no image at all is a different problem."""
    known = np.isfinite(_numbers(layer, train))
    missing = [value for value, column in zip(layer.values, known.T, strict=True) if not column.any()]
    if not train or not missing:
        return None
    return (
        f"none of {counted(len(train), 'images')} to train on has a number for: {', '.join(missing)}; add some to its files, "
        "or list the layer's `values` in dataset.json without it"
    )


def _numbers(layer: LayerData, train: Mapping[str, Annotation]) -> Array:
    """[images, D], sorted by image name; NaN where unknown."""
    return np.array([_values_of(train[image]) for image in sorted(train)], np.float64).reshape(-1, len(layer.values))


def _values_of(annotation: Annotation) -> Array:
    assert isinstance(annotation, ValueList), "readers produce value lists for a layer of values"
    return annotation.values


def _table(layer: Layer, _: DatasetFiles, tables: Sequence[Table]) -> LayerData:
    """Read one column per value."""
    names = tuple(layer.values) or tuple(dict.fromkeys(name for table in tables for name in table.others()))
    for table in tables:
        if missing := [name for name in names if name not in table.columns]:
            found = ", ".join(table.columns) or "nothing"
            raise bad_layer(layer, f"{table.source.path}: expected a column for the value '{missing[0]}'; found: {found}")
    if not names:
        raise bad_layer(layer, f"{tables[0].source.path}: expected a column for each value; found only: {tables[0].name('image')}")
    tables = [table.with_a_value(names) for table in tables]

    def make(_: Table, rows: ImageRows) -> Annotation:
        row = only_row(rows)
        return ValueList(np.array([as_number(row.cells.get(name), f"{row.where}: {name}") for name in names], np.float32))

    return LayerData(ClassTable((), ()), annotations_in(tables, make), values=names)


DESCRIPTION: Final = TaskDescription[Values](
    counted=None,
    layout=_layout,
    rows=rows_by_name,
    shows_pixels=False,
    made_from={},
    one_label=False,
    label_space=_label_space,
    learnable=learns_from_all,
    obstacle=_obstacle,
    warnings=no_warnings,
    new_classes_in_val=False,
    reads_text=False,
    table=_table,
)
