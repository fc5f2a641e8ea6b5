"""Multilabel classification: any number of classes per image.

Targets of a batch (C classes):

    labels     float32 [B, C]     0 or 1
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from headrace_api.dataset import Layer
from headrace_api.tasks import Task
from headrace_trainer.data.annotations import Annotation, LabelSet
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import LayerData, bad_layer, class_table
from headrace_trainer.data.tables.labels import ClassIndex, annotations_in, classes_in
from headrace_trainer.data.tables.reader import ImageRows, Table, as_bool, as_names, only_row
from headrace_trainer.data.targets import IGNORE, Array, Boxes, ClassMap, Label, Labels
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
    return {"labels": Field((len(shapes.labels.classes),), 0, "float32")}


def from_boxes(target: Boxes, classes: ClassTable) -> Labels:
    """The classes that occur; a crowd counts, because its class is visible."""
    return _labels(target.classes, classes)


def from_map(target: ClassMap, classes: ClassTable) -> Labels:
    """The classes that have at least one pixel."""
    return _labels(np.unique(target.map[target.map != IGNORE]), classes)


def from_label(target: Label, classes: ClassTable) -> Labels:
    """One-hot."""
    return _labels(np.array([target.label]), classes)


def _labels(present: Array, classes: ClassTable) -> Labels:
    labels = np.zeros(len(classes), np.bool_)
    labels[present] = True
    return Labels(labels)


def _table(layer: Layer, files: DatasetFiles, tables: Sequence[Table]) -> LayerData:
    """Read names from one column or, without it, a column of 0 and 1 for each class."""
    if not all(table.has("labels") for table in tables):
        return _one_hot(layer, files, tables)
    classes = class_table(layer, files) or classes_in(layer, tables, lambda table, row: as_names(table.cell(row, "labels"), ""))
    index = ClassIndex(classes)

    def make(table: Table, rows: ImageRows) -> Annotation:
        row = only_row(rows)
        names = as_names(table.cell(row, "labels"), f"{row.where}: {table.name('labels')}")
        return LabelSet([index(name, row.where) for name in names], len(classes))

    return LayerData(classes, annotations_in(tables, make))


def _one_hot(layer: Layer, files: DatasetFiles, tables: Sequence[Table]) -> LayerData:
    classes = class_table(layer, files) or ClassTable.of(dict(enumerate(tables[0].others())))
    for table in tables:
        if missing := [name for name in classes.names if name not in table.columns]:
            wanted = f"a column '{table.name('labels')}' of names, or a column of 0 and 1 for each class"
            found = f"found none for '{missing[0]}' among: {', '.join(table.columns)}"
            raise bad_layer(layer, f"{table.source.path}: expected {wanted}; {found}")

    def make(_: Table, rows: ImageRows) -> Annotation:
        row = only_row(rows)
        present = [as_bool(row.cells.get(name), f"{row.where}: {name}") for name in classes.names]
        return LabelSet(np.flatnonzero(present).tolist(), len(classes))

    return LayerData(classes, annotations_in(tables, make))


DESCRIPTION: Final = TaskDescription[Labels](
    counted=None,
    layout=_layout,
    rows=rows_by_name,
    shows_pixels=False,
    made_from={
        Task.SEMANTIC_SEGMENTATION: Conversion(from_map, same_classes),
        Task.OBJECT_DETECTION: Conversion(from_boxes, same_classes),
        Task.MULTICLASS_CLASSIFICATION: Conversion(from_label, same_classes),
    },
    one_label=False,
    label_space=classes_alone,
    learnable=learns_from_all,
    obstacle=no_obstacle,
    warnings=no_warnings,
    new_classes_in_val=False,
    reads_text=False,
    table=_table,
)
