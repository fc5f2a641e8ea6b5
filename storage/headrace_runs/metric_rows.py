"""Metrics as tidy rows, and as curves."""

import bisect
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from headrace_api.run import Curves, RunCurves

MOST_POINTS = 2000
"""Points of a curve."""
_NOT_VALUES = {"time", "iteration", "losses", "lossWeights", "scores"}


@dataclass(frozen=True)
class MetricRow:
    """One value of one report."""

    attempt: int
    time: str
    """RFC 3339, UTC, by the trainer's clock."""
    iteration: int
    trained_seconds: float | None
    """Seconds of training so far, over all attempts; None for scores."""
    kind: str
    """"loss", "weight" (learnt, of a head's loss), "score", or "training" for the learning rate, the speed and the like."""
    head: str
    """Empty if the value is the whole network's."""
    name: str
    value: float


def rows_of(attempt: int, line: str) -> Iterator[MetricRow]:
    """The rows of a line of metrics.jsonl; none for a line that was cut off."""
    try:
        report = json.loads(line)
        iteration, time = int(report["iteration"]), str(report["time"])
    except (ValueError, KeyError, TypeError):
        return
    seconds = _number(report.get("trainedSeconds"))
    for kind, head, name, value in _values(report):
        if (number := _number(value)) is not None:
            yield MetricRow(attempt, time, iteration, seconds, kind, head, name, number)


def _values(report: dict[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    for name, value in report.get("losses", {}).items():
        head, slash, term = name.partition("/")
        yield ("loss", head, term, value) if slash else ("loss", "", name, value)
    for head, value in report.get("lossWeights", {}).items():
        yield "weight", head, "weight", value
    for score in report.get("scores", []):
        yield "score", score["head"], score["name"], score["value"]
    for name, value in report.items():
        if name not in _NOT_VALUES:
            yield "training", "", name, value


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def curves_of(rows: Iterable[MetricRow]) -> RunCurves:
    """The curves that the rows draw, without the iterations that a later attempt did again."""
    losses, scores = _Reports(), _Reports()
    for row in rows:
        if row.kind in {"loss", "score"}:
            (losses if row.kind == "loss" else scores).add(row)
    return RunCurves(losses=losses.curves(losses.seconds_at), scores=scores.curves(losses.seconds_at))


class _Reports:
    """Values by iteration and name."""

    def __init__(self) -> None:
        self._attempt = 0
        self._values: dict[int, dict[str, float]] = {}
        self._seconds: dict[int, float] = {}

    def add(self, row: MetricRow) -> None:
        if row.attempt != self._attempt:
            self._attempt = row.attempt
            self._values = {at: values for at, values in self._values.items() if at < row.iteration}
            self._seconds = {at: seconds for at, seconds in self._seconds.items() if at < row.iteration}
        self._values.setdefault(row.iteration, {})[f"{row.head}/{row.name}" if row.head else row.name] = row.value
        if row.trained_seconds is not None:
            self._seconds[row.iteration] = row.trained_seconds

    def seconds_at(self, iterations: Sequence[int]) -> list[float]:
        """Seconds of training at each of these iterations, as of the last report."""
        known = sorted(self._seconds)
        places = (bisect.bisect_right(known, iteration) - 1 for iteration in iterations)
        return [self._seconds[known[place]] if place >= 0 else 0.0 for place in places]

    def curves(self, seconds_at: Callable[[Sequence[int]], list[float]]) -> Curves:
        at = sorted(self._values)
        step = max(1, -(-len(at) // MOST_POINTS))
        groups = [at[start : start + step] for start in range(0, len(at), step)]
        names = sorted({name for values in self._values.values() for name in values})
        series = {
            name: [[self._values[one][name] for one in group if name in self._values[one]] for group in groups] for name in names
        }
        iterations = [group[-1] for group in groups]
        return Curves(
            iterations=iterations,
            seconds=seconds_at(iterations),
            mean={name: [sum(some) / len(some) if some else None for some in points] for name, points in series.items()},
            least={name: [min(some, default=None) for some in points] for name, points in series.items()},
            most={name: [max(some, default=None) for some in points] for name, points in series.items()},
        )
