"""Tables of labels, a row per image: what CSV and JSON lines share. `headrace_api.dataset` says what columns mean."""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headrace_api.dataset import Column, Layer, Part
from headrace_trainer.data.layer_data import Source, bad_layer
from headrace_trainer.data.problems import BadSampleError

SPLITS: Mapping[str, Part | None] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    "test": None,
}
"""What a split column may say; images of None are left out."""
_YES_NO: dict[str, bool] = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NOTHING = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""Spellings of a missing number, in lower case."""
_LARGEST = 3.4e38
"""What float32 holds, in which labels reach a loss."""
_INDEX = re.compile(r"|Unnamed: \d+")
"""pandas' names for the column that numbers the rows."""
Cell = Any
"""A string from CSV, a value from JSON, or None if a row has no such column."""


@dataclass(frozen=True)
class Row:
    """One row of a file."""

    where: str
    """File and line."""
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Table:
    """A file of a layer."""

    source: Source
    columns: tuple[str, ...]
    """All that occur, in file order."""
    rows: tuple[Row, ...]

    def name(self, column: Column) -> str:
        """What the file calls a column."""
        return self.source.layer.columns.get(column, column)

    def has(self, column: Column) -> bool:
        """Whether there is such a column."""
        return self.name(column) in self.columns

    def need(self, *columns: Column) -> None:
        """Refuse the table if a column is missing."""
        if missing := [self.name(column) for column in columns if not self.has(column)]:
            raise bad_layer(
                self.source.layer,
                f"{self.source.path}: expected a column '{missing[0]}' (or give its name in `columns`); found: "
                f"{', '.join(self.columns) or 'nothing'}",
            )

    def cell(self, row: Row, column: Column) -> Cell:
        """The value of `column` in `row`."""
        return row.cells.get(self.name(column))

    def others(self) -> tuple[str, ...]:
        """The columns other than image, split and row numbers."""
        return tuple(name for name in self.columns if name not in {self.name("image"), self.name("split")} and not is_index(name))

    def labelled(self, column: Column) -> "Table":
        """Drop and count the rows with nothing in `column`: a table for several layers may have gaps in each."""
        self.need(column)
        return self._only([row for row in self.rows if not is_nothing(self.cell(row, column))], self.name(column))

    def with_a_value(self, names: Iterable[str]) -> "Table":
        """The same for rows without a number in any of these columns."""
        return self._only([row for row in self.rows if not all(is_no_number(row.cells.get(name)) for name in names)], "value")

    def _only(self, rows: list[Row], what: str) -> "Table":
        self.source.problems.mended(f"rows without a {what}, whose images are not labelled", len(self.rows) - len(rows))
        return replace(self, rows=tuple(rows))


@dataclass(frozen=True)
class ImageRows:
    """A table's rows for one image."""

    image: str
    rows: tuple[Row, ...]
    part: Part


def by_image(table: Table) -> Iterator[ImageRows]:
    """The rows of each image, in file order; rows that name no image, or a missing one, count as bad.

    In a table of all images, the column `split`, if there is one, says where each belongs; those of a test split are left out.
    """
    table.need("image")
    source = table.source
    of_reference: dict[str, list[Row]] = {}
    for row in table.rows:
        reference = table.cell(row, "image")
        if isinstance(reference, str) and reference.strip():
            of_reference.setdefault(reference.strip(), []).append(row)
        else:
            source.problems.bad(row.where, f"{table.name('image')}: expected the name of an image; found {reference!r}")
    left_out = 0
    for reference, rows in of_reference.items():
        try:
            part = _part(table, rows)
            if part is not None:
                yield ImageRows(source.image_for(reference, rows[0].where), tuple(rows), part)
            left_out += part is None
        except BadSampleError as problem:
            source.problems.bad(f"{rows[0].where}: {reference}", problem)
    source.problems.mended("images of a test split left out", left_out)


def _part(table: Table, rows: Iterable[Row]) -> Part | None:
    """The split of an image; None for a test image."""
    if table.source.split != "all" or not table.has("split"):
        return table.source.split
    parts = set()
    for row in rows:
        found = str(table.cell(row, "split")).strip().lower()
        if found not in SPLITS:
            raise BadSampleError(f"{row.where}: {table.name('split')}: expected train, val or test; found '{found}'")
        parts.add(SPLITS[found])
    if len(parts) > 1:
        raise BadSampleError("the image is in several splits; expected one")
    return parts.pop()


def only_row(rows: ImageRows) -> Row:
    """The row of an image that can have only one."""
    if len(rows.rows) > 1:
        raise BadSampleError(f"{rows.rows[1].where}: the image already has a label from {rows.rows[0].where}")
    return rows.rows[0]


def is_nothing(cell: Cell) -> bool:
    """Whether a cell is empty. (JSON values may not be hashable, so this looks nothing up in a set.)"""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def is_no_number(cell: Cell) -> bool:
    """The same for a number; programs have words for an empty one."""
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in _NOTHING)


def is_index(column: str) -> bool:
    """Whether a column has pandas' name for its index, which says nothing about an image."""
    return _INDEX.fullmatch(column) is not None


def as_name(cell: Cell, where: str) -> str:
    """A class or identity: text, or a number, which can be a name too."""
    if isinstance(cell, str | int | float) and not isinstance(cell, bool) and (name := str(cell).strip()):
        return name
    raise BadSampleError(f"{where}: expected a name; found {cell!r}")


def as_text(cell: Cell, where: str) -> str:
    """A text of at least one character, composed (NFC), so that an accented letter is one character."""
    if isinstance(cell, str | int | float) and not isinstance(cell, bool) and (text := str(cell)):
        return unicodedata.normalize("NFC", text)
    raise BadSampleError(f"{where}: expected a text; found {cell!r}")


def as_bool(cell: Cell, where: str) -> bool:
    """True or false: JSON's, or yes, no, 1, 0."""
    if (answer := _YES_NO.get(str(cell).strip().lower())) is not None:
        return answer
    raise BadSampleError(f"{where}: expected true or false; found {cell!r}")


def as_number(cell: Cell, where: str) -> float:
    """A number; NaN for an empty cell, or a program's word for one."""
    if is_no_number(cell):
        return math.nan
    try:
        number = math.inf if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError):
        number = math.inf
    if abs(number) > _LARGEST:
        raise BadSampleError(f"{where}: expected a finite number (up to {_LARGEST:.1e}), or nothing; found {cell!r}")
    return number


def as_names(cell: Cell, where: str) -> tuple[str, ...]:
    """Names separated by ";", or a list of names."""
    if cell is None or cell == "":
        return ()
    parts = cell if isinstance(cell, list) else str(cell).split(";")
    return tuple(as_name(part, where) for part in parts)


def sorted_names(names: Iterable[str], layer: Layer) -> list[str]:
    """Unique names, sorted, by number if all are whole numbers; refused if there are none."""
    found = sorted(set(names))
    if not found:
        raise bad_layer(layer, "no label in its files and no 'classes' in dataset.json: there is no class to learn")
    return sorted(found, key=int) if are_whole_numbers(found) else found


def are_whole_numbers(names: Iterable[str]) -> bool:
    """Whether all of these names are whole numbers, and so have an order of their own."""
    return all(name.removeprefix("-").isdecimal() for name in names)
