"""Keys, not events: a key waits once however often it is added, and is never with two workers at a time.

As client-go's workqueue: a key added while it is being worked on waits again when that is done, so no event is lost and
none is worked on twice for nothing.
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
    """A call that is yet to come."""

    def cancel(self) -> None:
        """Takes it back."""

    def when(self) -> float:
        """When it comes, on the clock of whoever scheduled it."""


Schedule = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after so many seconds."""


def on_running_loop(seconds: float, call: Callable[[], None]) -> Timer:
    """Schedules on the event loop that runs."""
    return asyncio.get_running_loop().call_later(seconds, call)


class WorkQueue(Generic[K]):
    """A queue of keys with deadlines and, for failures, backoff by key."""

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
        """The key wants to be worked on, soon."""
        if key in self.dirty:
            return
        self.dirty.add(key)
        if key not in self.working:
            self._enqueue(key)

    def add_after(self, key: K, seconds: float) -> None:
        """The key wants to be worked on in so many seconds; of several such wishes the earliest counts."""
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
        """The key that has waited longest; it is the caller's until `done`."""
        while not self.waiting:
            self._something.clear()
            await self._something.wait()
        key = self.waiting.popleft()
        self.dirty.discard(key)
        self.working.add(key)
        return key

    def done(self, key: K) -> None:
        """The work on a key that `get` gave is over."""
        self.working.discard(key)
        if key in self.dirty:
            self._enqueue(key)

    def succeeded(self, key: K) -> None:
        """The next failure of the key begins its backoff anew."""
        self.failures.pop(key, None)

    def failed(self, key: K) -> float:
        """The key will be worked on again after a pause that doubles with each failure in a row. Returns it, in seconds."""
        self.failures[key] = failures = self.failures.get(key, 0) + 1
        pause = pause_seconds(failures, FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        self.add_after(key, pause)
        return pause

    def clear(self) -> None:
        """Forgets everything that waits: whoever acts next will find it out again."""
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
