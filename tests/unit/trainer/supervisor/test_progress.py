"""How far the training has come."""

import pytest

from headrace_api.training import Training
from headrace_api.trainingjob import MetricValue
from headrace_trainer.protocol import Evaluated, Stepped
from headrace_trainer.supervisor.progress import ProgressMeter

NOW = "2026-01-01T00:00:00Z"


def stepped(iteration: int, trained_seconds: float) -> Stepped:
    return Stepped(
        iteration=iteration,
        trained_seconds=trained_seconds,
        losses={},
        learning_rate=0.1,
        gradient_norm=1,
        images_per_second=1,
        data_wait_share=0,
        device_memory_bytes=0,
    )


def meter(hours: float | None = None) -> ProgressMeter:
    return ProgressMeter(Training(max_iterations=1000, max_training_hours=hours))


def score(value: float, name: str = "AP") -> MetricValue:
    return MetricValue(head="boxes", name=name, value=value, iteration=1)


def test_the_main_score_of_each_head_is_written_out_for_people() -> None:
    m = meter()
    assert m.progress(NOW).score == ""
    boxes, tags = (
        MetricValue(head=h, name=n, value=v, iteration=1, primary=True) for h, n, v in (("boxes", "AP", 0.3123), ("tags", "mAP", 1))
    )
    m.evaluated(Evaluated(iteration=1, scores=[boxes, score(0.5, "AP50"), tags], pictures=[]))
    assert m.progress(NOW).score == "boxes AP 0.312, tags mAP 1.000"


def test_nothing_is_known_before_the_first_iteration() -> None:
    progress = meter().progress(NOW)
    assert (progress.iteration, progress.percentage, progress.estimated_remaining_seconds) == (0, 0, None)
    assert progress.last_updated_time == NOW


@pytest.mark.parametrize(
    ("hours", "iteration", "seconds", "want_percentage"),
    [
        (None, 250, 50, 25),
        (1.0, 250, 1800, 50),
        (1.0, 900, 1800, 90),
        (None, 999, 1, 99),
        (None, 1000, 1, 100),
        (0.001, 1, 3600, 100),
    ],
)
def test_the_percentage_follows_the_limit_that_comes_first(
    hours: float | None, iteration: int, seconds: float, want_percentage: int
) -> None:
    m = meter(hours)
    m.stepped(stepped(iteration, seconds))
    assert m.progress(NOW).percentage == want_percentage


def test_the_time_left_follows_the_speed_of_this_attempt() -> None:
    m = meter()
    m.resumed(500, 10_000.0, [])
    m.stepped(stepped(501, 10_030.0))  # the first iteration, slow, is not a speed
    assert m.progress(NOW).estimated_remaining_seconds is None
    m.stepped(stepped(601, 10_080.0))
    assert m.progress(NOW).estimated_remaining_seconds == 200  # 399 iterations at 0.5 s


def test_time_left_ends_with_the_training_hours() -> None:
    m = meter(hours=0.1)
    m.stepped(stepped(1, 1.0))
    m.stepped(stepped(2, 61.0))
    assert m.progress(NOW).estimated_remaining_seconds == 299


def test_a_resumed_attempt_shows_what_the_earlier_one_reached() -> None:
    m = meter()
    m.resumed(400, 60.0, [score(0.5)])
    progress = m.progress(NOW)
    assert (progress.iteration, progress.percentage, progress.trained_seconds, progress.metrics) == (400, 40, 60, [score(0.5)])


def test_scores_that_are_not_numbers_are_left_out_and_their_count_is_limited() -> None:
    m = meter()
    scores = [score(float("nan"), "nothing-labelled"), *(score(0.5, f"m{i}") for i in range(100))]
    m.evaluated(Evaluated(iteration=1, scores=scores, pictures=[]))
    metrics = m.progress(NOW).metrics
    assert len(metrics) == 64
    assert metrics[0].name == "m0"
