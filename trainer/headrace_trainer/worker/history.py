"""The losses and scores of all attempts: thinned as they grow, stored in checkpoints, written as curves.json, drawn at the end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MOST_POINTS: Final = 1000
"""Points per series: more than a screen shows, and some hundred kilobytes per checkpoint with a few heads."""
TOTAL: Final = "total"
"""The ledger's name for the weighted sum of all losses."""
PRIMARY: Final = "primary"
"""The mean of the heads' primary scores, which decides which checkpoint is best."""

Pairs = Sequence[tuple[int, int]]
"""Neighbouring points that become one."""


@dataclass
class Line:
    """One value at each point: over the point's reports, its mean, least and most. None where no report has it."""

    mean: list[float | None] = field(default_factory=list)
    least: list[float | None] = field(default_factory=list)
    most: list[float | None] = field(default_factory=list)
    reports: list[int] = field(default_factory=list)
    """For each point, the number of reports that have the value."""

    @classmethod
    def empty(cls, points: int) -> "Line":
        """A line without a value at the first points."""
        return cls([None] * points, [None] * points, [None] * points, [0] * points)

    def add(self, value: float | None) -> None:
        """A new point of one report."""
        for values in (self.mean, self.least, self.most):
            values.append(value)
        self.reports.append(0 if value is None else 1)

    def add_to_last(self, value: float | None) -> None:
        """One more report for the last point."""
        if value is None:
            return
        self.add(value)
        self._merge([(len(self.reports) - 2, len(self.reports) - 1)], len(self.reports) - 2, len(self.reports))

    def thin(self, pairs: Pairs) -> None:
        """Merge the pairs, which begin at the first point; later points stay."""
        self._merge(pairs, 0, 2 * len(pairs))

    def copy(self) -> "Line":
        """A snapshot."""
        return Line(self.mean[:], self.least[:], self.most[:], self.reports[:])

    def _merge(self, pairs: Pairs, start: int, end: int) -> None:
        """Replace the points from `start` to before `end`, which are the pairs, by one for each pair."""
        mean, least, most = (list[float | None](), list[float | None](), list[float | None]())
        for first, second in pairs:
            least.append(_either(min, self.least[first], self.least[second]))
            most.append(_either(max, self.most[first], self.most[second]))
            mean.append(self._mean(first, second, least[-1], most[-1]))
        self.reports[start:end] = [self.reports[first] + self.reports[second] for first, second in pairs]
        self.mean[start:end], self.least[start:end], self.most[start:end] = mean, least, most

    def _mean(self, first: int, second: int, least: float | None, most: float | None) -> float | None:
        one, other = self.mean[first], self.mean[second]
        if one is None or other is None or least is None or most is None:
            return other if one is None else one
        share = self.reports[second] / (self.reports[first] + self.reports[second])
        # Rounding must not put it outside.
        return min(max(one * (1 - share) + other * share, least), most)


@dataclass
class Series:
    """Lines by name over common points. Beyond MOST_POINTS, neighbouring points are merged in pairs."""

    iterations: list[int] = field(default_factory=list)
    """For each point, the iteration of its last report."""
    seconds: list[float] = field(default_factory=list)
    """For each point, the seconds of training at its last report, over all attempts."""
    reports: list[int] = field(default_factory=list)
    """For each point, the number of its reports, whatever values they have."""
    lines: dict[str, Line] = field(default_factory=dict)
    resolution: int = 1
    """Reports per point before a new point starts."""

    def add(self, iteration: int, seconds: float, report: Mapping[str, float]) -> None:
        """Add the values measured at `iteration`, unless it is already known, as when an evaluation is repeated.

        A value that is not finite counts as missing.
        """
        if self.iterations and iteration <= self.iterations[-1]:
            return
        finite = {name: value for name, value in report.items() if math.isfinite(value)}
        for name in finite:
            self.lines.setdefault(name, Line.empty(len(self.iterations)))
        if self.iterations and self.reports[-1] < self.resolution:
            for name, line in self.lines.items():
                line.add_to_last(finite.get(name))
            self.iterations[-1], self.seconds[-1] = iteration, seconds
            self.reports[-1] += 1
            return
        for name, line in self.lines.items():
            line.add(finite.get(name))
        self.iterations.append(iteration)
        self.seconds.append(seconds)
        self.reports.append(1)
        if len(self.iterations) > MOST_POINTS:
            self._thin()

    def copy(self) -> "Series":
        """A snapshot."""
        lines = {name: line.copy() for name, line in self.lines.items()}
        return Series(self.iterations[:], self.seconds[:], self.reports[:], lines, self.resolution)

    def _thin(self) -> None:
        pairs = [(first, first + 1) for first in range(0, len(self.reports) - 1, 2)]
        rest = 2 * len(pairs)
        for line in self.lines.values():
            line.thin(pairs)
        self.iterations = [self.iterations[last] for _, last in pairs] + self.iterations[rest:]
        self.seconds = [self.seconds[last] for _, last in pairs] + self.seconds[rest:]
        self.reports = [self.reports[first] + self.reports[last] for first, last in pairs] + self.reports[rest:]
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


@dataclass
class SeriesOfMeans:
    """A Series as older versions stored it: they knew each point's mean only."""

    iterations: list[int]
    reports: list[int]
    values: dict[str, list[float | None]]
    resolution: int

    def completed(self, seconds_per_iteration: float) -> Series:
        """Least and most become the mean, and times are estimated as if every iteration took equally long.

        Raises ValueError if the lists differ in length.
        """
        lines = {}
        for name, means in self.values.items():
            reports = [0 if mean is None else count for mean, count in zip(means, self.reports, strict=True)]
            lines[name] = Line(means[:], means[:], means[:], reports)
        seconds = [iteration * seconds_per_iteration for iteration in self.iterations]
        return Series(self.iterations, seconds, self.reports, lines, self.resolution)


def _either(choose: Any, first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return second if first is None else first
    chosen: float = choose(first, second)
    return chosen
