"""Retries calls to a store: exponential backoff with jitter, limited in time, cut short by SIGTERM."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from headrace_api.backoff import Backoff
from headrace_api.errors import RetryableError
from headrace_api.names import Reason
from headrace_storage.stop import Stop, StoppedError
from headrace_storage.store import NotFoundError, StoreError

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0


@dataclass
class Failures:
    """The failures in a row of one call to a store."""

    clock: Callable[[], float]
    jitter: Callable[[], float] = random.random
    """Returns 0 to 1. It keeps a hundred trainers that lost their store at the same moment from all retrying at once."""
    first_at: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))

    @property
    def count(self) -> int:
        """The number of failures."""
        return self.backoff.failures

    @property
    def seconds(self) -> float:
        """Seconds since the first failure; 0 if there is none."""
        return self.clock() - self.first_at if self.count else 0.0

    def one_more(self) -> float:
        """Counts one more failure and returns the pause before the next try: a random 50 to 100 % of the backoff."""
        if not self.count:
            self.first_at = self.clock()
        return self.backoff.next() * (0.5 + 0.5 * self.jitter())


@dataclass(frozen=True)
class Retry:
    """How long to retry, where to report it, and what ends it early."""

    patience_seconds: float
    """How long a call may keep failing, from its first failure; then it raises RetryableError(STORAGE_UNAVAILABLE)."""
    stop: Stop
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic

    def call(self, what: str, action: Callable[[], T]) -> T:
        """Calls `action()` until it raises no StoreError, and returns its result. NotFoundError passes through.

        Raises StoppedError at SIGTERM, RetryableError when patience runs out.
        """
        failures = Failures(self.clock)
        while True:
            if self.stop.requested:
                raise StoppedError
            try:
                return action()
            except NotFoundError:
                raise
            except StoreError as error:
                pause = failures.one_more()
                spent = failures.seconds
                if spent + pause > self.patience_seconds:
                    raise RetryableError(
                        Reason.STORAGE_UNAVAILABLE, f"{what}: gave up after {failures.count} tries in {spent:.0f} s: {error}"
                    ) from error
                self.say(f"{what}: {error}; trying again in {pause:.1f} s")
                self.stop.wait(pause)
