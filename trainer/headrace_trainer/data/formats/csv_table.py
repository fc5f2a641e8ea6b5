"""CSV: a header, then one row per image (or per quadrilateral). `headrace_api.dataset` describes the columns.

UTF-8, with or without a byte order mark. The delimiter is the one that the header has most of: comma, semicolon or tab.
"""

import csv
import io

from headrace_api.dataset import Layer
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.formats.table_layer import read_tables
from headrace_trainer.data.layer_data import LayerData, Source, bad_layer, read_text, sources
from headrace_trainer.data.problems import BadSampleError, Problems
from headrace_trainer.data.tables.reader import Row, Table


def read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """Read the file of each split."""
    return read_tables(layer, files, [_read_table(source) for source in sources(layer, files, problems)])


def _read_table(source: Source) -> Table:
    name = source.file()
    try:
        text = read_text(name, source.files)
    except BadSampleError as problem:
        raise bad_layer(source.layer, str(problem)) from None
    columns, rows = parse(text, name, source.problems)
    return Table(source, columns, rows)


def parse(text: str, name: str, problems: Problems) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    """The columns and rows of a file called `name`; rows of a different length count as bad, empty rows are skipped."""
    header = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
    columns = tuple(cell.strip() for cell in next(reader, ()))
    rows = []
    try:
        for cells in reader:
            where = f"{name}:{reader.line_num}"
            if not any(map(str.strip, cells)):  # spreadsheets write some after the last row
                continue
            if len(cells) == len(columns):
                rows.append(Row(where, dict(zip(columns, cells, strict=True))))
            else:
                problems.bad(where, f"expected {len(columns)} cells, as in the header; found {len(cells)}")
    except csv.Error as error:
        problems.bad(f"{name}:{reader.line_num}", f"not CSV from here on: {error}")
    return columns, tuple(rows)
