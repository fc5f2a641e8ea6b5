"""Pauses before the next try."""

from headrace_api.backoff import Backoff, pause_seconds


def test_pauses_double_up_to_the_longest() -> None:
    assert [pause_seconds(failures, 0.5, 15) for failures in range(1, 8)] == [0.5, 1, 2, 4, 8, 15, 15]


def test_failures_without_end_do_not_overflow() -> None:
    assert pause_seconds(1_000_000, 0.001, 300) == 300


def test_a_backoff_counts_the_failures() -> None:
    backoff = Backoff(10, 300)
    assert [backoff.next() for _ in range(7)] == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.failures == 7
