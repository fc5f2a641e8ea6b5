"""Waits for a condition, with a time limit, and stops early if waiting is pointless."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.05


def wait_until(ready: Callable[[], T | None], what: str, timeout: float, check: Callable[[], None] = lambda: None) -> T:
    """Calls `ready` until it returns something truthy, and returns that.

    Args:
        what: the condition in words, for the error.
        check: called between tries; raises an error if further waiting is pointless (a process has ended).

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
            raise TimeoutError(f"waited {timeout:g} s without success for: {what}")
        time.sleep(POLL_SECONDS)
