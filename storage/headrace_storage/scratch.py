"""Temporary folders of commands: removed at the end, and by the next command if the one that made them was killed."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PREFIX: Final = "headrace-"
_MARKER: Final = ".headrace-scratch"
"""In each of these folders: a file that whoever uses the folder holds locked, and that the kernel unlocks when nobody does."""


@dataclass(frozen=True)
class Scratch:
    """A temporary folder in use."""

    folder: Path
    lock: int
    """File descriptor of the lock. A child that inherits it keeps the folder from being reclaimed for as long as it lives."""


@contextmanager
def scratch_folder() -> Iterator[Scratch]:
    """A new folder until the end of the block. First removes those that killed commands of this user left."""
    _reclaim()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        # It gets its name only once it is locked: an unlocked marker means that its maker is gone.
        unnamed = folder / f"{_MARKER}-new"
        lock = os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            unnamed.rename(folder / _MARKER)
            yield Scratch(folder, lock)
        finally:
            os.close(lock)


def _reclaim() -> None:
    """Remove abandoned folders. Links, and folders of other users or without an unlocked marker, are left alone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                _reclaim_one(folder)


def _reclaim_one(folder: Path) -> None:
    lock = os.open(folder / _MARKER, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)
