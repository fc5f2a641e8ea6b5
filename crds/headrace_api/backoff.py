"""Pauses before something is tried again, which double with each failure in a row."""

from dataclasses import dataclass


def pause_seconds(failures: int, first: float, longest: float) -> float:
    """After the `failures`-th failure in a row: first, 2 × first, 4 × first, …, at most the longest."""
    return min(longest, first * 2.0 ** min(failures - 1, 64))  # more would overflow, and is beyond any longest pause


@dataclass
class Backoff:
    """The failures in a row of one thing. A success ends the row: take a fresh one."""

    first: float
    longest: float
    failures: int = 0

    def next(self) -> float:
        """It failed once more: the pause in seconds before the next try."""
        self.failures += 1
        return pause_seconds(self.failures, self.first, self.longest)
