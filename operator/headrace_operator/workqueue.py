"""A queue of keys, not events: a key waits once however often it is added, and only one worker has it at a time.

Like client-go's workqueue: a key added while it is being worked on is queued again afterwards, so no event is lost or repeated.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from headrace_api.backoff import pause_seconds

K = TypeVar("K", bound=Hashable)

FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 30.0


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancels the call."""

    def when(self) -> float:
        """When the call is due, on the scheduler's clock."""


Schedule = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after the given number of seconds."""


def on_running_loop(seconds: float, call: Callable[[], None]) -> Timer:
    """Schedules on the running event loop."""
    return asyncio.get_running_loop().call_later(seconds, call)


class WorkQueue(Generic[K]):
    """A queue of keys with deadlines and per-key backoff after failures."""

    def __init__(self, schedule: Schedule = on_running_loop) -> None:
        self.schedule = schedule
        self.waiting: deque[K] = deque()
        self.dirty: set[K] = set()
        self.working: set[K] = set()
        self.timers: dict[K, Timer] = {}
        self.failures: dict[K, int] = {}
        self._something = asyncio.Event()

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, key: K) -> None:
        """Queues the key."""
        if key in self.dirty:
            return
        self.dirty.add(key)
        if key not in self.working:
            self._enqueue(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Queues the key after this many seconds; if called several times, the earliest time counts."""
        if seconds <= 0:
            self.add(key)
            return
        timer = self.schedule(seconds, lambda: self._due(key))
        earlier = self.timers.get(key)
        if earlier is not None:
            if earlier.when() <= timer.when():
                timer.cancel()
                return
            earlier.cancel()
        self.timers[key] = timer

    async def get(self) -> K:
        """Returns the key that has waited longest; it belongs to the caller until `done`."""
        while not self.waiting:
            self._something.clear()
            await self._something.wait()
        key = self.waiting.popleft()
        self.dirty.discard(key)
        self.working.add(key)
        return key

    def done(self, key: K) -> None:
        """Ends the work on a key from `get`."""
        self.working.discard(key)
        if key in self.dirty:
            self._enqueue(key)

    def succeeded(self, key: K) -> None:
        """Resets the key's backoff."""
        self.failures.pop(key, None)

    def failed(self, key: K) -> float:
        """Queues the key again after a pause that doubles with each failure in a row. Returns the pause in seconds."""
        self.failures[key] = failures = self.failures.get(key, 0) + 1
        pause = pause_seconds(failures, FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        self.add_after(key, pause)
        return pause

    def clear(self) -> None:
        """Forgets everything that waits: the next leader finds its work itself."""
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()
        self.waiting.clear()
        self.dirty.clear()
        self.failures.clear()

    def _due(self, key: K) -> None:
        self.timers.pop(key, None)
        self.add(key)

    def _enqueue(self, key: K) -> None:
        self.waiting.append(key)
        self._something.set()
