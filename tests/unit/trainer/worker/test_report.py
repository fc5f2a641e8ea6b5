from collections.abc import Iterator

import pytest

from headrace_testing.kept_messages import KeptMessages
from headrace_testing.steps import random_batch, small_training
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.protocol import Stepped
from headrace_trainer.worker.report import Reporter


class Clock:
    """Moves only when the test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_iteration_is_reported_at_once_and_later_ones_once_a_second() -> None:
    clock, pipe, training = Clock(), KeptMessages(), small_training()
    reporter = Reporter(pipe, lambda: 7, clock)

    def batches() -> Iterator[Batch]:
        while True:
            clock.now += 0.1  # spent waiting for data
            yield random_batch(1)

    source = batches()
    for iteration in range(1, 8):
        training.step(reporter.next_batch(source), iteration)
        clock.now += 0.2
        reporter.report_if_due(training.step, iteration, trained_seconds=clock.now - 100)
    reports = [message for message in pipe.sent if isinstance(message, Stepped)]
    assert [report.iteration for report in reports] == [1, 5]
    first, second = reports
    assert first.images_per_second == pytest.approx(4 / 0.3)
    assert second.images_per_second == pytest.approx(4 * 4 / 1.2)
    assert second.data_wait_share == pytest.approx(0.1 / 0.3)
    assert second.trained_seconds == pytest.approx(1.5)
    assert second.device_memory_bytes == 7
    assert second.losses.keys() == {"tags/classification", "kind/classification", "total"}


def test_the_last_iteration_is_reported_whenever_it_comes() -> None:
    clock, pipe, training = Clock(), KeptMessages(), small_training()
    reporter = Reporter(pipe, lambda: 0, clock)
    for iteration in (1, 2):
        training.step(reporter.next_batch(iter([random_batch(1)])), iteration)
        reporter.report_if_due(training.step, iteration, trained_seconds=0, at_once=iteration == 2)
    assert [message.iteration for message in pipe.sent if isinstance(message, Stepped)] == [1, 2]


def test_time_between_trainings_is_not_counted() -> None:
    clock, pipe, training = Clock(), KeptMessages(), small_training()
    reporter = Reporter(pipe, lambda: 0, clock)
    clock.now += 1000  # an evaluation
    reporter.restart()
    training.step(reporter.next_batch(iter([random_batch(1)])), 1)
    clock.now += 2
    reporter.report_if_due(training.step, 1, trained_seconds=0)
    assert isinstance(pipe.sent[0], Stepped)
    assert pipe.sent[0].images_per_second == pytest.approx(2)
