"""Quadrilaterals in tables: one per row with a column for every coordinate, or in JSON any number per row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_api.dataset import Column, Layer
from headrace_trainer.data.annotations import Annotation, QuadList
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import LayerData, class_table
from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.tables.labels import ClassIndex, annotations_in, classes_in
from headrace_trainer.data.tables.reader import ImageRows, Row, Table, as_bool, as_name, is_nothing
from headrace_trainer.data.targets.quad_geometry import clean_quads

CORNERS: tuple[Column, ...] = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")
_ONE_CLASS = "object"
"""The class of quadrilaterals without one."""


def read_quads(layer: Layer, files: DatasetFiles, tables: Sequence[Table]) -> LayerData:
    """All splits of a layer."""
    for table in tables:
        if not table.has("quads"):
            table.need(*CORNERS)
    classes = class_table(layer, files) or classes_in(
        layer, tables, lambda table, row: (_class_of(quad, "") for quad in _quads_of(table, row))
    )
    index = ClassIndex(classes)

    def make(table: Table, rows: ImageRows) -> Annotation:
        quads = [(row.where, quad) for row in rows.rows for quad in _quads_of(table, row)]
        corners = np.array([_corners(quad, where) for where, quad in quads], np.float32).reshape(-1, 4, 2)
        kept, usable = clean_quads(corners, table.source.problems)
        named = [_class_of(quad, f"{where}: {table.name('class')}") for where, quad in quads]
        indices = np.array([index(name, where) for name, (where, _) in zip(named, quads, strict=True)], np.int64)
        crowd = np.array([quad.ignore is not None and as_bool(quad.ignore, f"{where}: ignore") for where, quad in quads], np.bool_)
        return QuadList(usable, normalised=False, classes=indices[kept], crowd=crowd[kept], where=rows.rows[0].where)

    return LayerData(classes, annotations_in(tables, make))


@dataclass(frozen=True)
class _Quad:
    """A quadrilateral as in the file, not checked yet."""

    corners: Any
    class_name: Any
    ignore: Any


def _quads_of(table: Table, row: Row) -> Iterator[_Quad]:
    """The quadrilaterals of a row: at most one in columns, any number in JSON."""
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
