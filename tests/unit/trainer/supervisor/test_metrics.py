"""What a scrape of a trainer says."""

import threading
import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from headrace_api.report import Phase
from headrace_trainer.supervisor.metrics import LateGauge, Metrics


def test_what_was_not_measured_yet_is_absent() -> None:
    metrics = Metrics()
    text = generate_latest(metrics.registry).decode()
    for name in ("total_loss", "learning_rate", "checkpoint_timestamp_seconds", "iteration"):
        assert f"headrace_trainer_{name}" not in text
    assert 'headrace_trainer_phase{phase="Pulling"} 1.0' in text
    metrics.set_progress(0, 100, 0.0)
    assert metrics.registry.get_sample_value("headrace_trainer_iteration") == 0


def test_exactly_one_phase_is_one() -> None:
    metrics = Metrics()
    metrics.set_phase(Phase.EVALUATING)
    values = {phase: metrics.registry.get_sample_value("headrace_trainer_phase", {"phase": phase.value}) for phase in Phase}
    assert values == {phase: float(phase is Phase.EVALUATING) for phase in Phase}


def test_only_a_checkpoint_of_this_attempt_has_an_age() -> None:
    metrics = Metrics()
    metrics.checkpoint_iteration.set(40)  # resumed from one of an earlier attempt
    assert metrics.registry.get_sample_value("headrace_trainer_checkpoint_timestamp_seconds") is None
    metrics.checkpoint_is_safe(80)
    assert metrics.registry.get_sample_value("headrace_trainer_checkpoint_iteration") == 80
    assert metrics.registry.get_sample_value("headrace_trainer_checkpoint_timestamp_seconds") == pytest.approx(time.time(), abs=60)


def test_threads_that_set_a_gauge_at_once_register_it_once() -> None:
    registry = CollectorRegistry()
    gauge = LateGauge("late", "Late.", registry)
    errors: list[BaseException] = []
    together = threading.Barrier(8)

    def set_it() -> None:
        together.wait()
        try:
            gauge.set(1)
        except ValueError as error:  # prometheus_client: duplicated timeseries
            errors.append(error)

    threads = [threading.Thread(target=set_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, registry.get_sample_value("late")) == ([], 1)
