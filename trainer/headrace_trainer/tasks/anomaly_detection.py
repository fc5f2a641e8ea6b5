"""Anomaly detection: how far an image, and each of its pixels, is from normal.

Targets of a batch:

    anomalous  bool    [B]        never True in the train split
    mask       bool    [B, H, W]  anomalous pixels
    has_mask   bool    [B]        False: the anomalous pixels are unknown
    shown      bool    [B, H, W]  False: padding around an image of a different shape
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from headrace_api.dataset import Layer
from headrace_trainer.data.annotations import Annotation, AnomalyLabel
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.files import DatasetFiles, relative_path
from headrace_trainer.data.layer_data import LayerData
from headrace_trainer.data.problems import BadSampleError, Problems
from headrace_trainer.data.tables.labels import annotations_in
from headrace_trainer.data.tables.reader import ImageRows, Table, as_bool, only_row
from headrace_trainer.data.targets import Anomaly
from headrace_trainer.tasks.description import (
    Counted,
    Field,
    Shapes,
    TaskDescription,
    classes_alone,
    no_obstacle,
    no_warnings,
    rows_by_name,
)


def _layout(shapes: Shapes) -> Mapping[str, Field]:
    return {
        "anomalous": Field((), False, "bool"),
        "mask": Field(shapes.canvas, False, "bool"),
        "has_mask": Field((), False, "bool"),
    }


def _learnable(layer: LayerData, problems: Problems) -> LayerData:
    """Drop the train split's anomalous images, because the head learns what is normal."""
    train = layer.splits.get("train", {})
    normal = {image: annotation for image, annotation in train.items() if not annotation.objects}
    problems.mended("anomalous images left out of the train split: heads learn what is normal", len(train) - len(normal))
    return replace(layer, splits={**layer.splits, "train": normal})


def _table(_: Layer, files: DatasetFiles, tables: Sequence[Table]) -> LayerData:
    """Read the column `anomalous`, and the optional column `mask`, which names a file."""
    tables = [table.labelled("anomalous") for table in tables]

    def make(table: Table, rows: ImageRows) -> Annotation:
        row = only_row(rows)
        anomalous = as_bool(table.cell(row, "anomalous"), f"{row.where}: {table.name('anomalous')}")
        if not (mask := table.cell(row, "mask")):
            return AnomalyLabel(anomalous, where=row.where)
        name = relative_path(str(mask), f"{row.where}: {table.name('mask')}")
        if not files.path(name).is_file():
            raise BadSampleError(f"{row.where}: {table.name('mask')}: no file '{name}'")
        return AnomalyLabel(anomalous, files.path(name), name)

    return LayerData(ClassTable((), ()), annotations_in(tables, make))


DESCRIPTION: Final = TaskDescription[Anomaly](
    counted=Counted("of them anomalous", negatives=False, most_learnt=None),
    layout=_layout,
    rows=rows_by_name,
    shows_pixels=True,
    made_from={},
    one_label=False,
    label_space=classes_alone,
    learnable=_learnable,
    obstacle=no_obstacle,
    warnings=no_warnings,
    new_classes_in_val=False,
    reads_text=False,
    table=_table,
)
