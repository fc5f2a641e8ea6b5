"""Ends exec plugins that hang: the `kubernetes` package runs them without a time limit and leaves them running."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import psutil

T = TypeVar("T")

_MARK = "KUBERNETES_EXEC_INFO"
"""The environment variable that tells a plugin what it is asked for; nothing else that we start has it."""
_EXIT_SECONDS = 1
"""How long the package may take to notice that its plugin is gone."""


async def within(seconds: float, loading: Coroutine[Any, Any, T]) -> T:
    """The result of `loading`, which may run an exec plugin; the plugin ends after `seconds`, or when the caller is cancelled.

    Raises:
        TimeoutError: the plugin, or the OIDC provider that is asked instead, takes longer.
    """
    task = asyncio.create_task(loading)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
    finally:
        if not task.done():
            # To the package, a killed plugin is one that failed. If we only cancelled the task, the plugin's pipes would stay open.
            _kill_plugins()
            await asyncio.wait([task], timeout=_EXIT_SECONDS)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    if not done:
        raise TimeoutError
    return task.result()


def _kill_plugins() -> None:
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if _MARK in child.environ():
                for process in [*child.children(recursive=True), child]:
                    process.kill()
