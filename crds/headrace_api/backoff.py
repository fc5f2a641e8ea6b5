"""Pauses between retries, which double with each failure in a row."""

from dataclasses import dataclass


def pause_seconds(failures: int, first: float, longest: float) -> float:
    """The pause after the `failures`-th failure in a row: first, 2 × first, 4 × first, …, at most the longest."""
    return min(longest, first * 2.0 ** min(failures - 1, 64))  # a larger exponent could overflow; 2**64 exceeds any longest pause


@dataclass
class Backoff:
    """Counts one thing's failures in a row. After a success, start a new one."""

    first: float
    longest: float
    failures: int = 0

    def next(self) -> float:
        """Counts one more failure and returns the seconds to wait before the next try."""
        self.failures += 1
        return pause_seconds(self.failures, self.first, self.longest)
