"""An Api that fails at the n-th call, before or after the call took effect."""

from collections.abc import Awaitable, Callable
from typing import Any


class KilledError(BaseException):
    """The operator dies here, as if by SIGKILL: nothing catches it, nothing is cleaned up."""


class FaultyClient:
    """Passes calls on to an Api, counts them, and raises at the chosen one.

    Args:
        api: does the work.
        at: number of the call, from 1, at which to raise; 0 never raises.
        error: what to raise.
        took_effect: whether the request reaches the server first and only its answer is lost.
    """

    def __init__(self, api: Any, at: int = 0, error: Callable[[], BaseException] = KilledError, took_effect: bool = False) -> None:
        self.api = api
        self.at = at
        self.error = error
        self.took_effect = took_effect
        self.calls: list[str] = []

    @property
    def struck(self) -> bool:
        """Whether the fault has happened."""
        return 0 < self.at <= len(self.calls)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any) -> Any:
            self.calls.append(name)
            strikes = len(self.calls) == self.at
            if strikes and not self.took_effect:
                raise self.error()
            answer = await getattr(self.api, name)(*arguments)
            if strikes:
                raise self.error()
            return answer

        return call
