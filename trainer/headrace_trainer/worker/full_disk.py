"""Recognises a full disk while the worker writes its results, whichever library notices it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from headrace_api.errors import RetryableError
from headrace_api.names import Reason

_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_WORDS: Final = ("No space left on device", "Disk quota exceeded", "(os error 28)", "(os error 122)")
"""How libraries without an errno say it: safetensors raises SafetensorError with the text of Rust's error, torch RuntimeError."""


@contextmanager
def naming_a_full_disk(what: str) -> Iterator[None]:
    """For blocks that write `what`: raises RetryableError(DISK_FULL) if there is no room for it; other errors pass."""
    try:
        yield
    except Exception as error:
        if not _is_of_a_full_disk(error):
            raise
        message = f"no space is left in the workspace to write {what} ({error}): raise spec.resources.workspace"
        raise RetryableError(Reason.DISK_FULL, message) from error


def _is_of_a_full_disk(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _ERRNOS
    return any(words in str(error) for words in _WORDS)
