"""The results on disk: one JSON file per row."""

import json
from pathlib import Path
from typing import Any

from tasks.rows import Row

FOLDER = Path(__file__).parent / "measured"


def path_of(row: Row) -> Path:
    """Where a row's result is, or will be."""
    return FOLDER / f"{row.name.replace('/', '--')}.json"


def read(row: Row) -> dict[str, Any] | None:
    """The result of a row; None if there is none."""
    path = path_of(row)
    return json.loads(path.read_text()) if path.exists() else None


def up_to_date(row: Row) -> bool:
    """Whether the row has a result for its current definition."""
    found = read(row)
    return found is not None and found["digest"] == row.digest


def write(row: Row, result: dict[str, Any]) -> None:
    """Keep a result; the file appears whole or not at all."""
    FOLDER.mkdir(exist_ok=True)
    path = path_of(row)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps({"row": row.name, "digest": row.digest, **result}, indent=1) + "\n")
    temporary.rename(path)
