"""Numbers by iteration: all are kept while there are few, then they are thinned evenly, and no peak is lost."""

import json
import math
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from headrace_trainer.worker.history import MOST_POINTS, History, Line, Series, SeriesOfMeans

VALUES = st.floats(-1e30, 1e30)
REPORTS = st.lists(st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2), min_size=1, max_size=60)
"""Each may lack any value."""


def series_of(values: Iterable[float]) -> Series:
    series = Series()
    for iteration, value in enumerate(values, start=1):
        series.add(iteration, 0.5 * iteration, {"loss": value})
    return series


def thinned(reports: list[dict[str, float]], most: int, monkeypatch: pytest.MonkeyPatch) -> Series:
    """Their series, if there were at most `most` points."""
    series = Series()
    with monkeypatch.context() as patched:
        patched.setattr("headrace_trainer.worker.history.MOST_POINTS", most)
        for iteration, report in enumerate(reports, start=1):
            series.add(iteration, 0.5 * iteration, report)
    return series


def test_few_numbers_are_kept_as_they_are() -> None:
    values: list[float | None] = [3.0, 2.0, 1.5]
    line = Line(values, values, values, [1, 1, 1])
    assert series_of([3.0, 2.0, 1.5]) == Series([1, 2, 3], [0.5, 1.0, 1.5], [1, 1, 1], {"loss": line})


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 5 * MOST_POINTS))
def test_many_become_means_of_neighbours_and_none_is_lost(count: int) -> None:
    series = series_of(float(number) for number in range(count))
    assert len(series.iterations) <= MOST_POINTS
    assert len(series.iterations) >= min(count, MOST_POINTS // 2)
    assert sum(series.reports) == count
    assert set(series.reports[:-1]) <= {series.resolution}, "all points but the last average equally many reports"
    assert series.iterations[-1] == count
    assert series.seconds == [0.5 * iteration for iteration in series.iterations]
    first = 0
    line = series.lines["loss"]
    for mean, least, most, last in zip(line.mean, line.least, line.most, series.iterations, strict=True):
        assert (mean, least, most) == (pytest.approx((first + last - 1) / 2), first, last - 1), "each covers those since the last"
        first = last


@given(REPORTS, st.integers(2, 8))
def test_thinning_loses_no_peak_and_keeps_means(reports: list[dict[str, float]], most: int) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        series = thinned(reports, most, monkeypatch)
    assert len(series.iterations) <= most
    start = 0
    for place, end in enumerate(series.iterations):
        for name, line in series.lines.items():
            values = [report[name] for report in reports[start:end] if name in report]
            assert line.reports[place] == len(values)
            assert line.least[place] == min(values, default=None)
            assert line.most[place] == max(values, default=None)
            mean = line.mean[place]
            if mean is None:
                assert not values
                continue
            assert mean == pytest.approx(math.fsum(values) / len(values), rel=1e-9, abs=1e-12 * max(map(abs, values)))
            assert min(values) <= mean <= max(values)
        start = end
    assert start == len(reports)


@given(REPORTS, st.integers(2, 8), st.data())
def test_a_series_that_was_stored_in_between_is_the_same(reports: list[dict[str, float]], most: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(reports)))
    adapter = TypeAdapter(Series)
    with pytest.MonkeyPatch.context() as monkeypatch:
        whole = thinned(reports, most, monkeypatch)
        monkeypatch.setattr("headrace_trainer.worker.history.MOST_POINTS", most)
        series = Series()
        for iteration, report in enumerate(reports, start=1):
            if iteration == cut:
                series = adapter.validate_json(adapter.dump_json(series))
            series.add(iteration, 0.5 * iteration, report)
    assert series == whole


def test_a_number_that_is_sometimes_missing_has_gaps() -> None:
    series = Series()
    series.add(1, 1.0, {"a": 1.0})
    series.add(2, 2.0, {"b": 2.0})
    series.add(3, 3.0, {"a": 3.0, "b": 3.0})
    assert {name: line.mean for name, line in series.lines.items()} == {"a": [1.0, None, 3.0], "b": [None, 2.0, 3.0]}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_counts_as_missing(value: float) -> None:
    series = Series()
    series.add(1, 1.0, {"a": value, "b": 1.0})
    series.add(2, 2.0, {"a": 2.0, "b": value})
    assert {name: line.mean for name, line in series.lines.items()} == {"a": [None, 2.0], "b": [1.0, None]}


def test_gaps_do_not_count_in_means() -> None:
    series = Series()
    for iteration in range(1, 4 * MOST_POINTS):
        # The reports with a value are unevenly spread over the points that are merged later.
        sometimes = {"sometimes": 6.0 if iteration % 4 == 1 else 3.0} if iteration % 4 in {1, 2, 3} else {}
        series.add(iteration, 0.5 * iteration, {"always": 2.0, **sometimes})
    assert series.resolution == 4
    assert set(series.lines["sometimes"].mean) == {4.0}


def test_a_repeated_evaluation_is_recognised() -> None:
    series = series_of([1.0, 2.0])
    series.add(2, 9.0, {"loss": 9.0})
    assert series == series_of([1.0, 2.0])


def test_it_survives_json_and_a_copy_does_not_change() -> None:
    history = History(series_of([1.0, 2.0]), series_of([0.5]))
    kept = history.copy()
    history.losses.add(3, 1.5, {"loss": 0.5})
    history.scores.add(7, 3.5, {"other": 0.1})
    assert kept == History(series_of([1.0, 2.0]), series_of([0.5]))
    adapter = TypeAdapter(History)
    assert adapter.validate_python(json.loads(adapter.dump_json(history))) == history


def test_a_series_of_an_older_version_goes_on() -> None:
    stored = SeriesOfMeans([2, 4, 5], [2, 2, 1], {"loss": [3.0, 2.0, 1.0], "late": [None, None, 7.0]}, resolution=2)
    series = stored.completed(seconds_per_iteration=0.5)
    series.add(6, 30.0, {"loss": 2.0})
    assert series.iterations == [2, 4, 6]
    assert series.seconds == [1.0, 2.0, 30.0]
    assert series.lines["loss"] == Line([3.0, 2.0, 1.5], [3.0, 2.0, 1.0], [3.0, 2.0, 2.0], [2, 2, 2])
    assert series.lines["late"] == Line([None, None, 7.0], [None, None, 7.0], [None, None, 7.0], [0, 0, 1])
