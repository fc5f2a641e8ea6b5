"""What the rows of a table become, by task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from headrace_api.dataset import Column, Layer, Part
from headrace_api.tasks import Task
from headrace_trainer.data.annotations import (
    Annotation,
    AnomalyLabel,
    IdentityLabel,
    ImageLabel,
    LabelSet,
    QuadList,
    TextLabel,
    ValueList,
)
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.files import DatasetFiles, relative_path
from headrace_trainer.data.layer_data import LayerData, bad_layer, class_table
from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.tables.reader import (
    ImageRows,
    Row,
    Table,
    as_bool,
    as_name,
    as_names,
    as_number,
    as_text,
    by_image,
    is_nothing,
    only_row,
    sorted_names,
)
from headrace_trainer.data.targets.quad_geometry import clean_quads

CORNERS: tuple[Column, ...] = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")
_NO_CLASSES = ClassTable((), ())
_ONE_CLASS = "object"
"""Of quadrilaterals that have no class."""

Maker = Callable[[Table, ImageRows], Annotation]
"""Makes the annotation of an image; raises BadSampleError."""


def read_tables(layer: Layer, files: DatasetFiles, tables: Sequence[Table]) -> LayerData:
    """All splits of a layer whose files are `tables`."""
    return _OF_TASK[layer.task](layer, files, tables)


def _single_labels(
    kind: Callable[[int], Annotation], column: Column, layer: Layer, files: DatasetFiles, tables: Sequence[Table]
) -> LayerData:
    """A class or an identity an image."""
    tables = [table.labelled(column) for table in tables]
    classes = class_table(layer, files) or _classes_in(layer, tables, lambda table, row: (as_name(table.cell(row, column), ""),))
    index = _ClassIndex(classes)

    def make(table: Table, rows: ImageRows) -> Annotation:
        row = only_row(rows)
        return kind(index(as_name(table.cell(row, column), f"{row.where}: {table.name(column)}"), row.where))

    return LayerData(classes, _annotations(tables, make))


def _label_sets(layer: Layer, files: DatasetFiles, tables: Sequence[Table]) -> LayerData:
    """Any number of classes an image: in one column, or (without it) a column of 0 and 1 for each class."""
    if not all(table.has("labels") for table in tables):
        return _one_hot(layer, files, tables)
    classes = class_table(layer, files) or _classes_in(layer, tables, lambda table, row: as_names(table.cell(row, "labels"), ""))
    index = _ClassIndex(classes)

    def make(table: Table, rows: ImageRows) -> Annotation:
        row = only_row(rows)
        names = as_names(table.cell(row, "labels"), f"{row.where}: {table.name('labels')}")
        return LabelSet([index(name, row.where) for name in names], len(classes))

    return LayerData(classes, _annotations(tables, make))


def _one_hot(layer: Layer, files: DatasetFiles, tables: Sequence[Table]) -> LayerData:
    classes = class_table(layer, files) or ClassTable.of(dict(enumerate(tables[0].others())))
    for table in tables:
        if missing := [name for name in classes.names if name not in table.columns]:
            wanted = f"a column '{table.name('labels')}' of names, or one of 0 and 1 for each class"
            found = f"there is none for '{missing[0]}' among: {', '.join(table.columns)}"
            raise bad_layer(layer, f"{table.source.path}: expected {wanted}; {found}")

    def make(_: Table, rows: ImageRows) -> Annotation:
        row = only_row(rows)
        present = [as_bool(row.cells.get(name), f"{row.where}: {name}") for name in classes.names]
        return LabelSet(np.flatnonzero(present).tolist(), len(classes))

    return LayerData(classes, _annotations(tables, make))


def _values(layer: Layer, _: DatasetFiles, tables: Sequence[Table]) -> LayerData:
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

    return LayerData(_NO_CLASSES, _annotations(tables, make), values=names)


def _texts(layer: Layer, _: DatasetFiles, tables: Sequence[Table]) -> LayerData:
    tables = [table.labelled("text") for table in tables]

    def make(table: Table, rows: ImageRows) -> Annotation:
        row = only_row(rows)
        return TextLabel(as_text(table.cell(row, "text"), f"{row.where}: {table.name('text')}"))

    return LayerData(_NO_CLASSES, _annotations(tables, make), alphabet=layer.alphabet)


def _anomalies(_: Layer, files: DatasetFiles, tables: Sequence[Table]) -> LayerData:
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

    return LayerData(_NO_CLASSES, _annotations(tables, make))


def _quads(layer: Layer, files: DatasetFiles, tables: Sequence[Table]) -> LayerData:
    for table in tables:
        if not table.has("quads"):
            table.need(*CORNERS)
    classes = class_table(layer, files) or _classes_in(
        layer, tables, lambda table, row: (_class_of(quad, "") for quad in _quads_of(table, row))
    )
    index = _ClassIndex(classes)

    def make(table: Table, rows: ImageRows) -> Annotation:
        quads = [(row.where, quad) for row in rows.rows for quad in _quads_of(table, row)]
        corners = np.array([_corners(quad, where) for where, quad in quads], np.float32).reshape(-1, 4, 2)
        kept, usable = clean_quads(corners, table.source.problems)
        named = [_class_of(quad, f"{where}: {table.name('class')}") for where, quad in quads]
        indices = np.array([index(name, where) for name, (where, _) in zip(named, quads, strict=True)], np.int64)
        crowd = np.array([quad.ignore is not None and as_bool(quad.ignore, f"{where}: ignore") for where, quad in quads], np.bool_)
        return QuadList(usable, indices[kept], crowd[kept], normalised=False, where=rows.rows[0].where)

    return LayerData(classes, _annotations(tables, make))


_OF_TASK: Mapping[Task, Callable[[Layer, DatasetFiles, Sequence[Table]], LayerData]] = {
    Task.MULTICLASS_CLASSIFICATION: partial(_single_labels, ImageLabel, "label"),
    Task.METRIC_LEARNING: partial(_single_labels, IdentityLabel, "identity"),
    Task.MULTILABEL_CLASSIFICATION: _label_sets,
    Task.REGRESSION: _values,
    Task.TEXT_RECOGNITION: _texts,
    Task.ANOMALY_DETECTION: _anomalies,
    Task.QUADRILATERAL_DETECTION: _quads,
}


@dataclass(frozen=True)
class _Quad:
    """A quadrilateral as a file has it, not looked at yet."""

    corners: Any
    class_name: Any
    ignore: Any


def _quads_of(table: Table, row: Row) -> Iterator[_Quad]:
    """Those of a row: one at most in columns, any number in JSON."""
    if not table.has("quads"):
        corners = [table.cell(row, corner) for corner in CORNERS]
        if not all(map(is_nothing, corners)):
            yield _Quad(corners, table.cell(row, "class"), table.cell(row, "ignore") or None)
        return
    entries = table.cell(row, "quads")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "points" in entry for entry in entries):
        raise BadSampleError(f"{row.where}: {table.name('quads')}: expected a list of objects with points [[x, y], …]")
    for entry in entries:
        yield _Quad(entry["points"], entry.get("class"), entry.get("ignore"))


def _class_of(quad: _Quad, where: str) -> str:
    return _ONE_CLASS if is_nothing(quad.class_name) else as_name(quad.class_name, where)


def _corners(quad: _Quad, where: str) -> np.ndarray:
    try:
        corners = np.array(quad.corners, np.float32).reshape(4, 2)
    except (OverflowError, TypeError, ValueError):
        corners = np.full((4, 2), np.nan)
    if not np.isfinite(corners).all():
        raise BadSampleError(f"{where}: expected 4 corners of two numbers each; found {quad.corners!r}")
    return corners


@dataclass(frozen=True)
class _ClassIndex:
    """Index by name, or by id where no class is called so."""

    classes: ClassTable

    def __call__(self, name: str, where: str) -> int:
        if (index := self._by_name.get(name)) is not None:
            return index
        if name.isdecimal() and int(name) in self.classes.ids:
            return self.classes.index(int(name))
        named = ", ".join(self.classes.names[:8]) + (", …" if len(self.classes) > 8 else "")
        raise BadSampleError(f"{where}: '{name}' is not in the class table, which has: {named}")

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.classes.names)}


def _classes_in(layer: Layer, tables: Sequence[Table], names_of: Callable[[Table, Row], Any]) -> ClassTable:
    """The names that occur in all splits; rows that are broken are left for later."""
    found: set[str] = set()
    for table in tables:
        for row in table.rows:
            try:
                found.update(names_of(table, row))
            except BadSampleError:
                continue
    return ClassTable.of(dict(enumerate(sorted_names(found, layer))))


def _annotations(tables: Sequence[Table], make: Maker) -> dict[Part, Mapping[str, Annotation]]:
    splits: dict[Part, dict[str, Annotation]] = {}
    for table in tables:
        for rows in by_image(table):
            try:
                splits.setdefault(rows.part, {})[rows.image] = make(table, rows)
            except BadSampleError as problem:
                table.source.problems.bad(rows.image, problem)
    return dict(splits)
