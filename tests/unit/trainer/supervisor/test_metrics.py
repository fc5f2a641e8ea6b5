"""What a scrape of a trainer shows."""

import threading
import time

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from headrace_api.report import Phase
from headrace_trainer.protocol import Stepped
from headrace_trainer.supervisor.metrics import LateGauge, Metrics


def test_unmeasured_values_are_absent() -> None:
    metrics = Metrics()
    text = generate_latest(metrics.registry).decode()
    for name in ("total_loss", "learning_rate", "checkpoint_timestamp_seconds", "iteration"):
        assert f"headrace_trainer_{name}" not in text
    assert 'headrace_trainer_phase{phase="Pulling"} 1.0' in text
    metrics.set_progress(0, 100, 0.0)
    assert metrics.registry.get_sample_value("headrace_trainer_iteration") == 0


def test_exactly_one_phase_has_the_value_one() -> None:
    metrics = Metrics()
    metrics.set_phase(Phase.EVALUATING)
    values = {phase: metrics.registry.get_sample_value("headrace_trainer_phase", {"phase": phase.value}) for phase in Phase}
    assert values == {phase: float(phase is Phase.EVALUATING) for phase in Phase}


def test_only_a_checkpoint_of_this_attempt_has_an_age() -> None:
    metrics = Metrics()
    metrics.checkpoint_iteration.set(40)  # resumed from an earlier attempt's checkpoint
    assert metrics.registry.get_sample_value("headrace_trainer_checkpoint_timestamp_seconds") is None
    metrics.checkpoint_is_safe(80)
    assert metrics.registry.get_sample_value("headrace_trainer_checkpoint_iteration") == 80
    assert metrics.registry.get_sample_value("headrace_trainer_checkpoint_timestamp_seconds") == pytest.approx(time.time(), abs=60)


def stepped(iteration: int) -> Stepped:
    return Stepped(
        iteration=iteration,
        trained_seconds=1,
        losses={},
        learning_rate=0,
        gradient_norm=0,
        images_per_second=0,
        data_wait_share=0,
        device_memory_bytes=0,
    )


def test_training_begins_with_the_first_iteration_and_not_with_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def began() -> float | None:
        return metrics.registry.get_sample_value("headrace_trainer_training_start_timestamp_seconds")

    metrics = Metrics()
    metrics.set_phase(Phase.BUILDING)
    assert began() is None
    for now in (7200.0, 7300.0):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        metrics.stepped(stepped(iteration=1))
    assert began() == 7200


def test_there_is_a_phase_at_every_moment() -> None:
    """A scrape may come in the middle of `set_phase`; an alert on one phase would then start its wait again."""
    metrics = Metrics()
    metrics.set_phase(Phase.TRAINING)
    seen = []
    labels = metrics._phase.labels

    def watched(phase: str) -> Gauge:
        seen.append(sum(sample.value for family in metrics._phase.collect() for sample in family.samples))
        return labels(phase)

    metrics._phase.labels = watched  # type: ignore[method-assign]
    metrics.set_phase(Phase.EVALUATING)
    assert min(seen) == 1


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
