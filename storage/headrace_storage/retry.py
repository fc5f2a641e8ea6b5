"""Retries: exponential backoff with jitter, limited in time, cut short by SIGTERM."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from headrace_api.errors import RetryableError
from headrace_api.names import Reason
from headrace_storage.stop import Stop, StoppedError
from headrace_storage.store import NotFoundError, StoreError

T = TypeVar("T")


def backoff_seconds(failures: int, jitter: float) -> float:
    """Pause after the `failures`-th failure in a row: 0.5 s doubling to 15 s, times 0.5 to 1 as `jitter` goes from 0 to 1.

    The jitter keeps a hundred trainers that lost their store at the same moment from all coming back at once.
    """
    return min(15.0, 0.5 * 2.0 ** min(failures - 1, 10)) * (0.5 + 0.5 * jitter)


@dataclass(frozen=True)
class Retry:
    """How long to retry, where to report it, and what ends it early."""

    patience_seconds: float
    """Counted from a call's first failure; afterwards RetryableError(STORAGE_UNAVAILABLE) with the last cause."""
    stop: Stop
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic

    def call(self, what: str, action: Callable[[], T]) -> T:
        """`action()`, again and again while it raises StoreError other than NotFoundError. Raises StoppedError at SIGTERM."""
        failures, first = 0, 0.0
        while True:
            if self.stop.requested:
                raise StoppedError
            try:
                return action()
            except NotFoundError:
                raise
            except StoreError as error:
                first = first if failures else self.clock()
                failures += 1
                pause = backoff_seconds(failures, random.random())
                spent = self.clock() - first
                if spent + pause > self.patience_seconds:
                    raise RetryableError(
                        Reason.STORAGE_UNAVAILABLE, f"{what}: gave up after {failures} tries in {spent:.0f} s: {error}"
                    ) from error
                self.say(f"{what}: {error}; trying again in {pause:.1f} s")
                self.stop.wait(pause)
