"""What a trainer exports to Prometheus. Labels of project, job and namespace come from the scrape, not from here."""

import threading
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from headrace_api.report import Phase
from headrace_trainer.protocol import Evaluated, Stepped


class LateGauge:
    """A gauge that appears once it is first set: an unmeasured 0 would be plotted and could fire alerts."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry) -> None:
        self._gauge = Gauge(name, text, registry=None)
        self._registry: CollectorRegistry | None = registry
        self._lock = threading.Lock()

    @property
    def there(self) -> bool:
        """Whether it was set."""
        return self._registry is None

    def set(self, value: float) -> None:
        """Say it, from now on. From any thread."""
        self._gauge.set(value)
        with self._lock:
            if self._registry is not None:
                self._registry.register(self._gauge)
                self._registry = None


class Metrics:
    """The metrics of one attempt, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._phase = Gauge(
            "headrace_trainer_phase", "1 for the trainer's current phase, 0 for the others.", ["phase"], registry=self.registry
        )
        self._iteration = self._gauge("iteration", "Iterations done, over all attempts.")
        self._max_iterations = self._gauge("max_iterations", "Iterations to do in total.")
        self._began = self._gauge("training_start_timestamp_seconds", "Unix time of this attempt's first iteration.")
        self._trained = self._gauge("trained_seconds", "Seconds of training, over all attempts.")
        self._loss = Gauge(
            "headrace_trainer_loss",
            "Mean of a loss term since the last report, over the iterations in which its head had labels.",
            ["head", "term"],
            registry=self.registry,
        )
        self._loss_weight = Gauge(
            "headrace_trainer_loss_weight", "Learned factor of a head's loss, if it is learned.", ["head"], registry=self.registry
        )
        self._total_loss = self._gauge("total_loss", "Mean of the weighted sum of all heads' losses since the last report.")
        self._score = Gauge("headrace_trainer_score", "A score of the last evaluation.", ["head", "metric"], registry=self.registry)
        self._learning_rate = self._gauge("learning_rate", "Learning rate of the last iteration.")
        self._gradient_norm = self._gauge("gradient_norm", "Norm of the gradient before clipping.")
        self._speed = self._gauge("images_per_second", "Training images per second.")
        self._data_wait = self._gauge("data_wait_ratio", "Share of time spent waiting for data, 0 to 1.")
        self._device_memory = self._gauge("device_memory_bytes", "Memory in use on the device.")
        self.checkpoint_iteration = self._gauge("checkpoint_iteration", "Iterations in the last complete checkpoint.")
        self._checkpoint_time = self._gauge("checkpoint_timestamp_seconds", "Unix time of this attempt's last complete checkpoint.")
        self.dataset_files = self._gauge("dataset_files", "Files in the dataset.")
        self.dataset_bytes = self._gauge("dataset_bytes", "Size of the dataset in bytes.")
        self.pulled_files = self._gauge("dataset_pulled_files", "Files of the dataset on local disk.")
        self.pulled_bytes = self._gauge("dataset_pulled_bytes", "Bytes of the dataset on local disk.")
        self.uploads = self._counter("uploads", "Objects uploaded to the run folder.")
        self.uploaded_bytes = self._counter("uploaded_bytes", "Bytes uploaded to the run folder.")
        self.upload_failures = self._counter("upload_failures", "Failed upload tries to the run folder, retries included.")
        self.set_phase(Phase.PULLING)

    def set_phase(self, phase: Phase) -> None:
        """Exactly one phase is 1; while it changes a scrape may see both, and never none."""
        for one in sorted(Phase, key=lambda one: one is not phase):
            self._phase.labels(one.value).set(float(one is phase))

    def set_progress(self, iteration: int, max_iterations: int, trained_seconds: float) -> None:
        """How far the training is."""
        self._iteration.set(iteration)
        self._max_iterations.set(max_iterations)
        self._trained.set(trained_seconds)

    def stepped(self, message: Stepped) -> None:
        """Take in a report of the training loop."""
        if not self._began.there:
            self._began.set(time.time())
        for name, value in message.losses.items():
            head, slash, term = name.partition("/")
            if slash:
                self._loss.labels(head, term).set(value)
            else:
                self._total_loss.set(value)
        for head, value in message.loss_weights.items():
            self._loss_weight.labels(head).set(value)
        self._learning_rate.set(message.learning_rate)
        self._gradient_norm.set(message.gradient_norm)
        self._speed.set(message.images_per_second)
        self._data_wait.set(message.data_wait_share)
        self._device_memory.set(message.device_memory_bytes)

    def evaluated(self, message: Evaluated) -> None:
        """Take in scores."""
        for score in message.scores:
            self._score.labels(score.head, score.name).set(score.value)

    def checkpoint_is_safe(self, iteration: int) -> None:
        """A checkpoint of this attempt is complete in the run folder, just now."""
        self.checkpoint_iteration.set(iteration)
        self._checkpoint_time.set(time.time())

    def _gauge(self, name: str, text: str) -> LateGauge:
        return LateGauge(f"headrace_trainer_{name}", text, self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"headrace_trainer_{name}", text, registry=self.registry)
