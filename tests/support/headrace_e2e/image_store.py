"""Keeps images between runs, so that a machine pushes and pulls torch only once. For one run at a time, and of limited size."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace_local.binaries import cache_folder

MOST_BYTES = 30e9
"""One version of the images takes 9 GB: 3 in the registry, 6 unpacked."""


class AlreadyRunningError(RuntimeError):
    """Another run is using the store and the node's network."""


@contextmanager
def image_store() -> Iterator[Path]:
    """Yields the folder, which it empties first if it has grown too large.

    Raises:
        AlreadyRunningError: another `make e2e` is running on this machine.
    """
    folder = cache_folder() / "e2e"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                "another `make e2e` is running on this machine; there is one node, one network and one image store"
            ) from None
        if _bytes(folder) > MOST_BYTES:
            for one in folder.iterdir():
                if one.is_dir():
                    shutil.rmtree(one)
        yield folder


def _bytes(folder: Path) -> int:
    """The disk space that the folder's files take."""
    return sum(file.lstat().st_blocks * 512 for file in folder.rglob("*"))
