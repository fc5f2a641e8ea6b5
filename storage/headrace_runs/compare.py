"""Several runs side by side: what differs in their settings and data, and whose scores are better."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace_api.run import DatasetRecord, Run, ScoreRecord
from headrace_api.trainingjob import Better

_NAMED = ("name",)
"""The field by which entries of a list are matched: heads."""
_APART = {"spec.suspend", "spec.stop"}
"""Fields that say what was done to a job, not how it trains."""


@dataclass(frozen=True)
class Row:
    """One setting, or one fact about the data, of every run."""

    path: str
    """As in YAML, with heads by their names: "spec.model.heads[boxes].objectDetection.topLevel"."""
    values: tuple[Any, ...]
    """None where a run does not have it."""

    @property
    def differs(self) -> bool:
        """Whether the runs do not agree."""
        return any(value != self.values[0] for value in self.values[1:])


@dataclass(frozen=True)
class ScoreRow:
    """One score of every run."""

    head: str
    name: str
    better: Better | None
    unit: str
    primary: bool
    last: tuple[float | None, ...]
    best: tuple[float | None, ...]
    """The best value of each run; where an older version did not keep it, the last."""
    winners: tuple[int, ...]
    """Which runs have the best of these values; none if it is not known which values are better, or only one run has any."""


@dataclass(frozen=True)
class Comparison:
    """Of at least one run."""

    settings: tuple[Row, ...]
    dataset: tuple[Row, ...]
    scores: tuple[ScoreRow, ...]


def compare(runs: Sequence[Run], configurations: Sequence[Mapping[str, Any]]) -> Comparison:
    """Compares runs, each with its job.json (`RunFolder.configuration`), in the order given."""
    specs = [dict(_flat("spec", one.get("spec", {}))) for one in configurations]
    data = [dict(_flat("dataset", _dataset(run.dataset))) for run in runs]
    return Comparison(
        settings=tuple(row for row in _rows(specs) if row.path not in _APART),
        dataset=tuple(_rows(data)),
        scores=tuple(_scores(runs)),
    )


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Leaves by path. Entries of a list are matched by their names, or else by their places."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(f"{path}.{name}", inner)
    elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        for place, one in enumerate(value):
            name = next((str(one[key]) for key in _NAMED if key in one), str(place))
            yield from _flat(f"{path}[{name}]", {key: inner for key, inner in one.items() if key not in _NAMED})
    else:
        yield path, value


def _rows(documents: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for path in dict.fromkeys(path for document in documents for path in document):
        yield Row(path, tuple(document.get(path) for document in documents))


def _dataset(record: DatasetRecord | None) -> dict[str, Any]:
    return {} if record is None else record.model_dump(mode="json", by_alias=True)


def _scores(runs: Sequence[Run]) -> Iterator[ScoreRow]:
    found = [{(head.name, score.name): score for head in run.heads for score in head.scores} for run in runs]
    for key in dict.fromkeys(key for scores in found for key in scores):
        records = [scores.get(key) for scores in found]
        known = [record for record in records if record is not None]
        better = next((record.better for record in known if record.better is not None), None)
        best = tuple(_value(record, lambda one: one.last if one.best is None else one.best) for record in records)
        yield ScoreRow(
            head=key[0],
            name=key[1],
            better=better,
            unit=known[0].unit,
            primary=any(record.primary for record in known),
            last=tuple(_value(record, lambda one: one.last) for record in records),
            best=best,
            winners=_winners(best, better),
        )


def _value(record: ScoreRecord | None, choose: Callable[[ScoreRecord], float | None]) -> float | None:
    return None if record is None else choose(record)


def _winners(values: Sequence[float | None], better: Better | None) -> tuple[int, ...]:
    known = [value for value in values if value is not None]
    if better is None or len(known) < 2:
        return ()
    best = max(known) if better is Better.HIGHER else min(known)
    return tuple(place for place, value in enumerate(values) if value == best)
