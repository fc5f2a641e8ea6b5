"""A clock that moves when a test says so."""

from datetime import datetime, timedelta

from headrace_testing.builders import EPOCH


class FakeClock:
    """Begins at EPOCH; see `headrace_operator.clock.Clock`."""

    def __init__(self, start: datetime = EPOCH) -> None:
        self.time = start

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.time += timedelta(seconds=seconds)
