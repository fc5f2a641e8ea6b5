"""Retries: how often, how long, and what ends them."""

from collections.abc import Iterator

import pytest

from headrace_api.errors import FatalError, RetryableError
from headrace_api.names import Reason
from headrace_storage.retry import Failures, Retry
from headrace_storage.stop import StoppedError
from headrace_storage.store import NotFoundError, UnavailableError
from headrace_testing.moved_time import MovedTime


@pytest.fixture
def time() -> Iterator[MovedTime]:
    stop = MovedTime()
    yield stop
    stop.close()


def retry(time: MovedTime, said: list[str] | None = None, patience: float = 120) -> Retry:
    return Retry(patience, time, (said if said is not None else []).append, lambda: time.now)


class Flaky:
    """Fails this many times, then works."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.left, self.calls = failures, 0
        self.error = error or UnavailableError("connection refused")

    def __call__(self) -> str:
        self.calls += 1
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return "worked"


def test_a_late_success_is_returned_and_every_failure_is_reported(time: MovedTime) -> None:
    said: list[str] = []
    assert retry(time, said).call("listing", Flaky(3)) == "worked"
    assert len(said) == 3
    assert said[0].startswith("listing: connection refused; trying again in ")


def test_patience_ends_with_the_cause(time: MovedTime) -> None:
    action = Flaky(10_000)
    with pytest.raises(RetryableError, match=r"listing: gave up after \d+ tries in \d+ s: connection refused") as error:
        retry(time).call("listing", action)
    assert error.value.reason is Reason.STORAGE_UNAVAILABLE
    assert isinstance(error.value.__cause__, UnavailableError)
    assert 100 < time.now <= 120
    assert 8 <= action.calls <= 25


@pytest.mark.parametrize("final", [NotFoundError("gone"), FatalError(Reason.STORAGE_REFUSED, "no")])
def test_a_final_error_is_not_retried(time: MovedTime, final: Exception) -> None:
    action = Flaky(5, final)
    with pytest.raises(type(final)):
        retry(time).call("reading", action)
    assert action.calls == 1


def test_a_stop_ends_the_retries(time: MovedTime) -> None:
    time.request()
    action = Flaky(0)
    with pytest.raises(StoppedError):
        retry(time).call("reading", action)
    assert action.calls == 0


def test_pauses_double_up_to_a_bound_and_are_spread(time: MovedTime) -> None:
    longest, shortest = Failures(lambda: time.now, lambda: 1.0), Failures(lambda: time.now, lambda: 0.0)
    assert [longest.one_more() for _ in range(7)] == [0.5, 1, 2, 4, 8, 15, 15]
    assert [shortest.one_more() for _ in range(7)] == [0.25, 0.5, 1, 2, 4, 7.5, 7.5]


def test_failures_are_timed_from_the_first(time: MovedTime) -> None:
    failures = Failures(lambda: time.now)
    time.wait(5)
    assert (failures.count, failures.seconds) == (0, 0)
    failures.one_more()
    time.wait(3)
    failures.one_more()
    assert (failures.count, failures.seconds) == (2, 3)
