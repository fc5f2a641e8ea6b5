"""Waiting times that double, as in a kubelet."""

from dataclasses import dataclass


@dataclass
class Backoff:
    """first, 2 × first, 4 × first, … up to the cap, in seconds. The defaults are a kubelet's for containers."""

    first: float = 10.0
    cap: float = 300.0
    count: int = 0

    def next(self) -> float:
        delay = min(self.first * 2.0**self.count, self.cap)
        self.count += 1
        return delay
