"""JSON lines: a JSON object per line, one per image. `headrace_api.dataset` describes the keys."""

import json

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
    rows = parse(text, name, source.problems)
    return Table(source, tuple(dict.fromkeys(key for row in rows for key in row.cells)), rows)


def parse(text: str, name: str, problems: Problems) -> tuple[Row, ...]:
    """The rows of a file called `name`; lines that are not objects count as bad."""
    rows = []
    # Not splitlines: JSON strings may hold characters that it takes for line ends.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line.isspace():
            continue
        try:
            cells = json.loads(line)
        except ValueError as error:
            problems.bad(f"{name}:{number}", f"not JSON: {error}")
            continue
        if isinstance(cells, dict):
            rows.append(Row(f"{name}:{number}", cells))
        else:
            problems.bad(f"{name}:{number}", f"expected an object; found {type(cells).__name__}")
    return tuple(rows)
