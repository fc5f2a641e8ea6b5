"""Numbers by iteration: all are kept while there are few, then they are thinned evenly."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from headrace_trainer.worker.history import MOST_POINTS, History, Series


def series_of(values: list[float]) -> Series:
    series = Series()
    for iteration, value in enumerate(values, start=1):
        series.add(iteration, {"loss": value})
    return series


def test_few_numbers_are_kept_as_they_are() -> None:
    series = series_of([3.0, 2.0, 1.5])
    assert series == Series([1, 2, 3], [1, 1, 1], {"loss": [3.0, 2.0, 1.5]})


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 5 * MOST_POINTS))
def test_many_become_means_of_neighbours_and_none_is_lost(count: int) -> None:
    series = series_of([float(number) for number in range(count)])
    assert len(series.iterations) <= MOST_POINTS
    assert len(series.iterations) >= min(count, MOST_POINTS // 2)
    assert sum(series.reports) == count
    assert set(series.reports[:-1]) <= {series.resolution}, "all points but the last average equally many reports"
    assert series.iterations[-1] == count
    total = sum(value * reports for value, reports in zip(series.values["loss"], series.reports, strict=True))
    assert total == pytest.approx(count * (count - 1) / 2)


def test_a_number_that_is_sometimes_missing_has_gaps() -> None:
    series = Series()
    series.add(1, {"a": 1.0})
    series.add(2, {"b": 2.0})
    series.add(3, {"a": 3.0, "b": 3.0})
    assert series.values == {"a": [1.0, None, 3.0], "b": [None, 2.0, 3.0]}


def test_gaps_do_not_count_in_means() -> None:
    series = Series()
    for iteration in range(1, MOST_POINTS + 2):
        series.add(iteration, {"always": 2.0, **({"sometimes": 5.0} if iteration % 2 else {})})
    assert series.resolution == 2
    assert series.values["sometimes"] == [5.0] * len(series.iterations)


def test_a_repeated_evaluation_is_recognised() -> None:
    series = series_of([1.0, 2.0])
    series.add(2, {"loss": 9.0})
    assert series == series_of([1.0, 2.0])


def test_it_survives_json_and_a_copy_does_not_change() -> None:
    history = History(series_of([1.0, 2.0]), series_of([0.5]))
    kept = history.copy()
    history.losses.add(3, {"loss": 0.5})
    history.scores.add(7, {"other": 0.1})
    assert kept == History(series_of([1.0, 2.0]), series_of([0.5]))
    adapter = TypeAdapter(History)
    assert adapter.validate_python(json.loads(adapter.dump_json(history))) == history
