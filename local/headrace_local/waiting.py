"""Waiting for a condition, bounded and with an early end."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.05


def wait_until(ready: Callable[[], T | None], what: str, timeout: float, check: Callable[[], None] = lambda: None) -> T:
    """Calls `ready` until it returns something truthy, and returns that.

    Args:
        what: the condition in words, for the error.
        check: called between the tries; raises when waiting on is pointless (a process has ended).

    Raises:
        TimeoutError: the condition did not come true within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = ready()
        if result:
            return result
        check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain for: {what}")
        time.sleep(POLL_SECONDS)
