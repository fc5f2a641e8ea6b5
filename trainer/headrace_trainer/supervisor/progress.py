"""The training's progress, from the worker's messages. Pure: no clock, no thread."""

import math
from collections.abc import Sequence

from headrace_api.first_few import first_few
from headrace_api.training import Training
from headrace_api.trainingjob import MetricValue, Progress
from headrace_trainer.protocol import Evaluated, Stepped

_MOST_METRICS = 64
"""The limit of a TrainingJob's status."""
_MOST_SCORES = 8
"""How many fit into its line of main scores."""


class ProgressMeter:
    """Iterations, hours and scores over all attempts."""

    def __init__(self, training: Training) -> None:
        self._max_iterations = training.max_iterations
        self._max_seconds = math.inf if training.max_training_hours is None else training.max_training_hours * 3600
        self.iteration = 0
        self.trained_seconds = 0.0
        self.metrics: list[MetricValue] = []
        # Where this attempt began; the speed is measured from there, including evaluations.
        self._start: tuple[int, float] | None = None

    def resumed(self, iteration: int, trained_seconds: float, metrics: Sequence[MetricValue]) -> None:
        """Continue from a checkpoint."""
        self.iteration, self.trained_seconds, self.metrics = iteration, trained_seconds, list(metrics)

    def stepped(self, message: Stepped) -> None:
        """Record the worker's progress."""
        # Speed counts from the first report, not from the start: the first iteration warms up caches and compilers.
        self._start = self._start or (message.iteration, message.trained_seconds)
        self.iteration, self.trained_seconds = message.iteration, message.trained_seconds

    def evaluated(self, message: Evaluated) -> None:
        """Record new scores, ignoring NaN (nothing was labelled)."""
        self.metrics = [score for score in message.scores if math.isfinite(score.value)][:_MOST_METRICS]

    def progress(self, now: str) -> Progress:
        """The progress for the job's status. `now` in RFC 3339."""
        return Progress(
            iteration=self.iteration,
            max_iterations=self._max_iterations,
            percentage=self._percentage(),
            estimated_remaining_seconds=self._remaining_seconds(),
            trained_seconds=int(self.trained_seconds),
            metrics=self.metrics,
            score=self._score(),
            last_updated_time=now,
        )

    def _score(self) -> str:
        main = (f"{score.head} {score.name} {score.value:.3f}" for score in self.metrics if score.primary)
        return first_few(main, _MOST_SCORES)

    def _percentage(self) -> int:
        share = max(self.iteration / self._max_iterations, self.trained_seconds / self._max_seconds)
        return min(100, int(100 * share))

    def _remaining_seconds(self) -> int | None:
        """Time to whichever limit comes first, at this attempt's speed; None until the speed is known."""
        if self._start is None or self.iteration <= self._start[0]:
            return None
        seconds_per_iteration = (self.trained_seconds - self._start[1]) / (self.iteration - self._start[0])
        by_iterations = (self._max_iterations - self.iteration) * seconds_per_iteration
        by_time = self._max_seconds - self.trained_seconds
        return max(0, round(min(by_iterations, by_time)))
