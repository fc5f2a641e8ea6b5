"""Turns table rows into annotations: what tasks share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from headrace_api.dataset import Column, Layer, Part
from headrace_api.first_few import first_few
from headrace_trainer.data.annotations import Annotation
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import LayerData, class_table
from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.tables.reader import ImageRows, Row, Table, as_name, by_image, only_row, sorted_names

_NAMED = 8
Maker = Callable[[Table, ImageRows], Annotation]
"""Makes the annotation of an image; raises BadSampleError."""


def single_labels(
    kind: Callable[[int], Annotation], column: Column, layer: Layer, files: DatasetFiles, tables: Sequence[Table]
) -> LayerData:
    """One class or identity per image."""
    tables = [table.labelled(column) for table in tables]
    classes = class_table(layer, files) or classes_in(layer, tables, lambda table, row: (as_name(table.cell(row, column), ""),))
    index = ClassIndex(classes)

    def make(table: Table, rows: ImageRows) -> Annotation:
        row = only_row(rows)
        return kind(index(as_name(table.cell(row, column), f"{row.where}: {table.name(column)}"), row.where))

    return LayerData(classes, annotations_in(tables, make))


@dataclass(frozen=True)
class ClassIndex:
    """Index by name, or by id if no class has that name."""

    classes: ClassTable

    def __call__(self, name: str, where: str) -> int:
        if (index := self._by_name.get(name)) is not None:
            return index
        if name.isdecimal() and int(name) in self.classes.ids:
            return self.classes.index(int(name))
        raise BadSampleError(f"{where}: '{name}' is not in the class table, which has: {first_few(self.classes.names, _NAMED)}")

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.classes.names)}


def classes_in(layer: Layer, tables: Sequence[Table], names_of: Callable[[Table, Row], Any]) -> ClassTable:
    """The names that occur in all splits; broken rows are left for later."""
    found: set[str] = set()
    for table in tables:
        for row in table.rows:
            try:
                found.update(names_of(table, row))
            except BadSampleError:
                continue
    return ClassTable.of(dict(enumerate(sorted_names(found, layer))))


def annotations_in(tables: Sequence[Table], make: Maker) -> dict[Part, Mapping[str, Annotation]]:
    """What `make` returns for each image's rows, by split and image; images with broken rows count as bad."""
    splits: dict[Part, dict[str, Annotation]] = {}
    for table in tables:
        for rows in by_image(table):
            try:
                splits.setdefault(rows.part, {})[rows.image] = make(table, rows)
            except BadSampleError as problem:
                table.source.problems.bad(rows.image, problem)
    return dict(splits)
