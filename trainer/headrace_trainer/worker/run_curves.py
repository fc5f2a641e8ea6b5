"""Writes curves.json: the losses and scores of all attempts, for whoever compares runs."""

import os
from pathlib import Path
from typing import Final

from headrace_api import runfolder
from headrace_api.run import Curves, RunCurves
from headrace_trainer.worker.history import History, Series

_DIGITS: Final = 6
"""Significant ones: as many as charts can show, in half the bytes."""


def write_curves(history: History, output: Path) -> Path:
    """Replace the file below `output` in one piece; returns its path, relative to `output`."""
    curves = RunCurves(losses=_curves(history.losses), scores=_curves(history.scores))
    path = output / runfolder.CURVES
    output.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(curves.model_dump_json(by_alias=True) + "\n")
    temporary.rename(path)
    return Path(runfolder.CURVES)


def _curves(series: Series) -> Curves:
    return Curves(
        iterations=series.iterations,
        seconds=[round(seconds, 1) for seconds in series.seconds],
        mean={name: _rounded(line.mean) for name, line in series.lines.items()},
        least={name: _rounded(line.least) for name, line in series.lines.items()},
        most={name: _rounded(line.most) for name, line in series.lines.items()},
    )


def _rounded(values: list[float | None]) -> list[float | None]:
    return [None if value is None else float(f"{value:.{_DIGITS}g}") for value in values]
