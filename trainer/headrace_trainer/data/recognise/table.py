"""A single CSV or JSON lines file at the root, or one per split: its columns tell what it labels."""

import csv
import io
import json
import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace_api.dataset import Column, Format, Layer
from headrace_api.tasks import Task
from headrace_trainer.data.files import is_image
from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.recognise.listing import Layout, Listing, UnclearError, left_out, split_in, splits_from, words_of
from headrace_trainer.data.tables.reader import SPLITS, as_number, is_index

_ROWS_LOOKED_AT = 1000
_CORNERS = frozenset({"x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"})
_BOXES = (("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"), ("x1", "y1", "x2", "y2"), ("bbox",))
_WITH_A_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
_SYNONYMS: Mapping[Column, tuple[str, ...]] = {
    "image": ("image", "filename", "file_name", "file", "path", "filepath", "file_path", "image_path", "image_name", "img", "name"),
    "split": ("split", "subset", "set", "fold", "partition"),
    "anomalous": ("anomalous", "anomaly", "is_anomaly", "defective"),
    "mask": ("mask", "mask_path", "ground_truth"),
    "identity": ("identity", "person", "person_id", "pid", "instance", "individual"),
    "text": ("text", "transcription", "words", "string"),
    "labels": ("labels", "tags", "classes", "attributes"),
    "label": ("label", "class", "category", "target", "class_name", "class_id", "label_name"),
    "quads": ("quads",),
}
_TASKS: tuple[tuple[Column, Task], ...] = (
    ("anomalous", Task.ANOMALY_DETECTION),
    ("identity", Task.METRIC_LEARNING),
    ("text", Task.TEXT_RECOGNITION),
    ("labels", Task.MULTILABEL_CLASSIFICATION),
    ("label", Task.MULTICLASS_CLASSIFICATION),
    ("quads", Task.QUADRILATERAL_DETECTION),
)
_NAMES = {
    Task.ANOMALY_DETECTION: "anomalies",
    Task.METRIC_LEARNING: "identities",
    Task.TEXT_RECOGNITION: "texts",
    Task.MULTILABEL_CLASSIFICATION: "tags",
    Task.MULTICLASS_CLASSIFICATION: "classes",
    Task.QUADRILATERAL_DETECTION: "quads",
    Task.REGRESSION: "values",
}


@dataclass(frozen=True)
class _Meaning:
    """What the columns mean."""

    task: Task
    columns: Mapping[Column, str]
    """Maps standard column names to the table's, if they differ."""
    notes: tuple[str, ...] = ()
    """What is not used."""


def find(listing: Listing) -> Iterator[Layout]:
    """The layer of the one table, or of one table per split."""
    tables = listing.ending(".csv", ".jsonl", deepest=0)
    if not tables:
        return
    by_split: dict[str, str] = {}
    for name in tables:
        split = "all" if len(tables) == 1 else split_in(words_of(posixpath.splitext(name)[0]))
        if split is None or split in by_split:
            raise UnclearError(*(f"the table {name}" for name in tables))
        by_split[split] = name
    splits = splits_from(by_split)
    first = next(iter(splits.values()))
    meaning = _meaning(first, _rows(first, listing))
    format_: Format = "csv" if first.lower().endswith(".csv") else "jsonl"
    fields = {"columns": dict(meaning.columns)} if meaning.columns else {}
    layer = Layer(name=_NAMES[meaning.task], task=meaning.task, format=format_, splits=splits, **fields)
    yield Layout("a table", tuple(tables), (layer,), (*left_out(by_split), *meaning.notes))


def _rows(name: str, listing: Listing) -> list[Mapping[str, Any]]:
    """The first rows."""
    lines = listing.peek(name).splitlines()[: _ROWS_LOOKED_AT + 1]
    if name.lower().endswith(".jsonl"):
        try:
            rows = [json.loads(line) for line in lines if line.strip()]
        except ValueError as error:
            raise _unclear(name, f"not JSON lines: {error}") from None
        return [row for row in rows if isinstance(row, dict)]
    header = lines[0] if lines else ""
    reader = csv.DictReader(io.StringIO("\n".join(lines), newline=""), delimiter=max(",;\t", key=header.count))
    return [{str(key).strip(): value for key, value in row.items()} for row in reader]


def _meaning(name: str, rows: Sequence[Mapping[str, Any]]) -> _Meaning:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if not rows:
        raise _unclear(name, "it has no rows")
    named = {role: found for role, words in _SYNONYMS.items() if (found := _called(columns, words)) is not None}
    image = _image_column(named.get("image"), columns, rows)
    if image is None:
        raise _unclear(name, f"no column has image names; found: {', '.join(columns)}")
    named["image"] = image
    fold = _no_split(named, rows)
    others = [column for column in columns if column not in {image, named.get("split")} and not is_index(column)]
    if {column.lower() for column in others} >= _CORNERS:
        kept: tuple[Column, ...] = ("image", "split")
        return _Meaning(Task.QUADRILATERAL_DETECTION, _renamed(named, kept))
    _refuse_boxes(name, others)
    wanted = [(role, task) for role, task in _TASKS if role in named and named[role] != image]
    if not wanted or wanted[0][0] == "label":
        _refuse_commas(name, [named["label"]] if wanted else others, rows)
    if wanted and not (wanted[0][0] == "label" and _fractions(named["label"], rows)):
        if len(wanted) > 1 and wanted[0][0] not in {"anomalous"}:
            seen = " or ".join(f"{task.words} by column '{named[role]}'" for role, task in wanted)
            raise UnclearError(f"{name} as {seen}")
        role, task = wanted[0]
        unused = (f"not used: column '{fold}' of {name}, which does not say train, val or test",) if fold else ()
        return _Meaning(task, _renamed(named, ("image", "split", role, *(("mask",) if role == "anomalous" else ()))), unused)
    if fold:
        raise _unclear(name, f"column '{fold}' does not say train, val or test, and no other column says what the table labels")
    return _by_values(name, others, named, rows)


def _no_split(named: dict[Column, str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The column that is named like a split but holds none, such as cross-validation folds: it is taken out of `named`."""
    if "split" not in named or all(str(row.get(named["split"])).strip().lower() in SPLITS for row in rows):
        return None
    return named.pop("split")


def _refuse_boxes(name: str, columns: Sequence[str]) -> None:
    """Refuse boxes: a box per row with its class looks like a label per image."""
    lower = {column.lower() for column in columns}
    if (found := next((corners for corners in _BOXES if lower.issuperset(corners)), None)) is not None:
        raise _unclear(name, f"its boxes ({', '.join(found)}) cannot be read from a table: write them as COCO, YOLO or VOC do")


def _refuse_commas(name: str, columns: Iterable[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse decimal commas: numbers as half of Europe's spreadsheets write them would be taken for names."""
    for column in columns:
        cells = [str(row.get(column)) for row in rows]
        if (cell := next(filter(_WITH_A_COMMA.fullmatch, cells), None)) is not None and _numbers(
            column, [{column: one.replace(",", ".", 1)} for one in cells]
        ):
            raise _unclear(name, f"column '{column}' has numbers with a decimal comma ({cell.strip()}); expected a point")


def _by_values(name: str, others: list[str], named: Mapping[Column, str], rows: Sequence[Mapping[str, Any]]) -> _Meaning:
    """If no column has a standard name, go by its cells: numbers are values, 0 and 1 in several columns are classes."""
    if others and all(_numbers(column, rows) for column in others):
        ones = len(others) > 1 and all(str(row.get(column)).strip() in {"0", "1"} for row in rows for column in others)
        task = Task.MULTILABEL_CLASSIFICATION if ones else Task.REGRESSION
        return _Meaning(task, _renamed(named, ("image", "split")))
    if len(others) == 1:
        return _Meaning(Task.MULTICLASS_CLASSIFICATION, {**_renamed(named, ("image", "split")), "label": others[0]})
    raise _unclear(name, f"no column name says what it holds; besides '{named['image']}', found: {', '.join(others) or 'none'}")


def _called(columns: Sequence[str], words: Sequence[str]) -> str | None:
    return next((column for word in words for column in columns if column.lower().replace(" ", "_") == word), None)


def _image_column(called: str | None, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The column called `called`, if any; else the first whose cells all end like image names."""
    if called is not None:
        return called
    return next((column for column in columns if all(is_image(str(row.get(column))) for row in rows)), None)


def _renamed(named: Mapping[Column, str], roles: Sequence[Column]) -> dict[Column, str]:
    return {role: named[role] for role in roles if role in named and named[role] != role}


def _numbers(column: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    return all(math.isfinite(_number(row.get(column))) for row in rows)


def _fractions(column: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column has numbers that are not all whole: classes do not have such names."""
    return _numbers(column, rows) and any(not _number(row.get(column)).is_integer() for row in rows)


def _number(cell: Any) -> float:
    """0 for an empty cell, which a column of numbers may have; infinite for what is not a number."""
    try:
        number = as_number(cell, "")
    except BadSampleError:
        return math.inf
    return 0.0 if math.isnan(number) else number


def _unclear(name: str, problem: str) -> UnclearError:
    return UnclearError(f"the table {name}, but {problem}")
