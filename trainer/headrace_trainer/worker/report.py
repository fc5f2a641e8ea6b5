"""Reports on the training once a second, and immediately after the first iteration."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.protocol import Stepped
from headrace_trainer.worker.messages import Messages
from headrace_trainer.worker.step import Reading, Step

_SECONDS: Final = 1.0


class Reporter:
    """Measures iterations on the host, and reads from the device only when a report is due."""

    def __init__(self, messages: Messages, memory_in_use: Callable[[], int], now: Callable[[], float] = time.monotonic) -> None:
        self._messages = messages
        self._memory_in_use = memory_in_use
        self._now = now
        self._since = now()
        self._waited = 0.0
        self._images = 0
        self._reported = False

    def next_batch(self, batches: Iterator[Batch]) -> Batch:
        """The next batch; measures the time spent waiting for it."""
        before = self._now()
        batch = next(batches)
        self._waited += self._now() - before
        self._images += len(batch.images)
        return batch

    def report_if_due(self, step: Step, iteration: int, trained_seconds: float, at_once: bool = False) -> Reading | None:
        """Send Stepped if it is due, or `at_once`; returns the reading it was based on.

        Raises FatalError(LOSS_NOT_FINITE) if the ledger shows it.
        """
        elapsed = self._now() - self._since
        if self._reported and elapsed < _SECONDS and not at_once:
            return None
        reading = step.ledger.read()  # waits for the device, so that `elapsed` includes queued work
        elapsed = max(self._now() - self._since, 1e-9)
        self._messages.send(
            Stepped(
                iteration=iteration,
                trained_seconds=trained_seconds,
                losses=reading.losses,
                loss_weights=step.loss_weights.read(),
                learning_rate=step.learning_rate(iteration),
                gradient_norm=reading.gradient_norm,
                images_per_second=self._images / elapsed,
                data_wait_share=min(1.0, self._waited / elapsed),
                device_memory_bytes=self._memory_in_use(),
            )
        )
        self._reported = True
        self.restart()
        return reading

    def report_without_step(self, step: Step, iteration: int, trained_seconds: float) -> None:
        """Send Stepped without losses if no iteration follows immediately: it still makes this attempt's trainer Ready."""
        self._messages.send(
            Stepped(
                iteration=iteration,
                trained_seconds=trained_seconds,
                losses={},
                learning_rate=step.learning_rate(iteration),
                gradient_norm=0.0,
                images_per_second=0.0,
                data_wait_share=0.0,
                device_memory_bytes=self._memory_in_use(),
            )
        )

    def restart(self) -> None:
        """Measure from now on, so that an evaluation between two iterations does not look like slow training."""
        self._since = self._now()
        self._waited = 0.0
        self._images = 0
