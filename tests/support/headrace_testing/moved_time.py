"""Waits between tries that take no time."""

from headrace_storage.stop import Stop


class MovedTime(Stop):
    """A stop whose waits move a clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return self.requested
