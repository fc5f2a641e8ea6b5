import math

import pytest

from headrace_api.training import Schedule
from headrace_trainer.worker.schedule import learning_rate_factor


def test_warm_up_rises_in_equal_steps_and_ends_at_the_peak() -> None:
    schedule = Schedule(warmup_iterations=4, decay="constant")
    assert [learning_rate_factor(schedule, i, 10) for i in (1, 2, 3, 4, 5, 10)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_cosine_follows_warm_up_from_the_peak_to_just_above_zero() -> None:
    schedule = Schedule(warmup_iterations=2, decay="cosine")
    factors = [learning_rate_factor(schedule, i, 10) for i in range(3, 11)]
    assert factors[0] == 1
    assert factors == sorted(factors, reverse=True)
    assert factors[4] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))
    assert factors[-1] > 0


def test_without_warm_up_the_first_iteration_has_the_peak_rate() -> None:
    assert learning_rate_factor(Schedule(warmup_iterations=0, decay="cosine"), 1, 10) == 1


def test_a_warm_up_longer_than_the_training_only_rises() -> None:
    assert learning_rate_factor(Schedule(warmup_iterations=500, decay="cosine"), 100, 100) == 0.2


def test_iterations_beyond_the_last_stay_at_zero_instead_of_rising_again() -> None:
    assert learning_rate_factor(Schedule(warmup_iterations=0, decay="cosine"), 25, 10) == 0
