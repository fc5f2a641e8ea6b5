"""Errors that end an attempt. Any other exception that escapes is a crash, and worth another attempt."""

from headrace_api.names import Reason


class TrainerError(Exception):
    """Ends the attempt with `reason` and a message for people: what was wrong, where, what would be right."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class FatalError(TrainerError):
    """Every attempt would fail the same way: a bad dataset, a head that fits no layer, keys that are refused."""


class RetryableError(TrainerError):
    """Another attempt may succeed: storage that does not answer, a full disk."""
