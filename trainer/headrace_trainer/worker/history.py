"""The losses and scores of all attempts: thinned as they grow, stored in checkpoints, drawn as curves at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MOST_POINTS: Final = 512
"""Points per series: as many as fit a picture, and about a hundred kilobytes per checkpoint with a few heads."""
TOTAL: Final = "total"
"""The ledger's name for the weighted sum of all losses."""
PRIMARY: Final = "primary"
"""The mean of the heads' primary scores, which decides which checkpoint is best."""


@dataclass
class Series:
    """Values by name and iteration. Beyond MOST_POINTS, neighbouring points are merged in pairs into their mean."""

    iterations: list[int] = field(default_factory=list)
    """For each point, the iteration of its last report."""
    reports: list[int] = field(default_factory=list)
    """For each point, the number of reports it averages."""
    values: dict[str, list[float | None]] = field(default_factory=dict)
    """The points' values by name; None if a report lacked that value."""
    resolution: int = 1
    """Reports per point before a new point starts."""

    def add(self, iteration: int, report: Mapping[str, float]) -> None:
        """Add the values measured at `iteration`, unless it is already known, as when an evaluation is repeated."""
        if self.iterations and iteration <= self.iterations[-1]:
            return
        for name in report:
            self.values.setdefault(name, [None] * len(self.iterations))
        if self.iterations and self.reports[-1] < self.resolution:
            for name, values in self.values.items():
                values[-1] = _mean(values[-1], self.reports[-1], report.get(name), 1)
            self.iterations[-1] = iteration
            self.reports[-1] += 1
            return
        self.iterations.append(iteration)
        self.reports.append(1)
        for name, values in self.values.items():
            values.append(report.get(name))
        if len(self.iterations) > MOST_POINTS:
            self._thin()

    def copy(self) -> "Series":
        """A snapshot."""
        return Series(
            self.iterations[:], self.reports[:], {name: values[:] for name, values in self.values.items()}, self.resolution
        )

    def _thin(self) -> None:
        counts = self.reports
        pairs = [(i, i + 1) for i in range(0, len(counts) - 1, 2)]
        rest = len(counts) - len(counts) % 2
        for name, values in self.values.items():
            self.values[name] = [_mean(values[i], counts[i], values[j], counts[j]) for i, j in pairs] + values[rest:]
        self.iterations = [self.iterations[j] for _, j in pairs] + self.iterations[rest:]
        self.reports = [counts[i] + counts[j] for i, j in pairs] + counts[rest:]
        self.resolution *= 2


@dataclass
class History:
    """The losses and scores of one job."""

    losses: Series = field(default_factory=Series)
    """By "<head>/<term>", and TOTAL."""
    scores: Series = field(default_factory=Series)
    """By "<head>/<metric>", and PRIMARY."""

    def copy(self) -> "History":
        """A snapshot: training continues while a checkpoint is written."""
        return History(self.losses.copy(), self.scores.copy())


def _mean(first: float | None, first_reports: int, second: float | None, second_reports: int) -> float | None:
    if first is None or second is None:
        return second if first is None else first
    return (first * first_reports + second * second_reports) / (first_reports + second_reports)
