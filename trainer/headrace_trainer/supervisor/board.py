"""The supervisor's notice board: what the main thread knows, published over HTTP."""

import threading
from collections.abc import Callable

from headrace_api.report import Phase, TrainerStatus
from headrace_api.trainingjob import Checkpoint, Progress
from headrace_trainer.supervisor.journal import utc_now
from headrace_trainer.supervisor.metrics import Metrics
from headrace_trainer.supervisor.progress import ProgressMeter


class Board:
    """Phase, message, progress and the last complete checkpoint. Methods may be called from any thread."""

    def __init__(self, metrics: Metrics, now: Callable[[], str] = utc_now) -> None:
        self.metrics = metrics
        self._now = now
        self._lock = threading.Lock()
        self._phase, self._message = Phase.PULLING, "reading the job"
        self._progress = Progress()
        self._checkpoint: Checkpoint | None = None
        self._ready = False

    def show(self, phase: Phase, message: str) -> None:
        """Publish what the trainer is doing."""
        with self._lock:
            self._phase, self._message = phase, message
        self.metrics.set_phase(phase)

    def show_progress(self, meter: ProgressMeter) -> None:
        """Publish the training's progress."""
        progress = meter.progress(self._now())
        with self._lock:
            self._progress = progress
        self.metrics.set_progress(progress.iteration, progress.max_iterations, meter.trained_seconds)

    def show_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Publish a checkpoint that is safe in the run folder."""
        with self._lock:
            self._checkpoint = checkpoint

    def mark_ready(self) -> None:
        """Record that the worker has sent its first Stepped, which makes the trainer Ready."""
        self._ready = True

    @property
    def ready(self) -> bool:
        return self._ready

    @property
    def checkpoint(self) -> Checkpoint | None:
        with self._lock:
            return self._checkpoint

    @property
    def progress(self) -> Progress:
        with self._lock:
            return self._progress

    def status(self) -> TrainerStatus:
        """The body of GET /status."""
        with self._lock:
            return TrainerStatus(phase=self._phase, message=self._message, progress=self._progress, checkpoint=self._checkpoint)
