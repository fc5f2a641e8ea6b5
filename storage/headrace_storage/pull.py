"""Pulls the dataset: checks all keys first, makes many requests at once, verifies every file and renames it into place."""

import errno
import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from headrace_api.errors import FatalError, RetryableError
from headrace_api.names import Reason
from headrace_storage.keys import path_for
from headrace_storage.retry import Retry
from headrace_storage.stop import StoppedError
from headrace_storage.store import Fetchable, NotFoundError, StoredObject
from headrace_storage.unusable_folder import NO_SPACE

_BLOCK_BYTES = 4096
"""Files occupy whole blocks on disk."""
_MARGIN_BYTES = 64 << 20
"""Left free for logs, pictures and temporary files."""


@dataclass(frozen=True)
class Pull:
    """Downloads objects of `store` into the folder `target`, each through a file in `partial` (on the same disk)."""

    store: Fetchable
    target: Path
    partial: Path
    retry: Retry
    connections: int

    def run(self, objects: Sequence[StoredObject], progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Fetch what is missing, and from time to time call `progress(files, bytes)` with what has arrived.

        Raises StoppedError at SIGTERM, FatalError for keys that are not safe paths, RetryableError if the store does not come back,
        keeps sending different content than it listed, or the disk fills up.
        """
        # Check all keys before writing any byte.
        paths = [path_for(self.target, one.key) for one in objects]
        for folder in dict.fromkeys(path.parent for path in paths):
            self._make_folder(folder)
        done = _Tally(progress)
        missing = []
        for one, path in zip(objects, paths, strict=True):
            # Files are renamed into place only after verification, so an existing file is complete.
            if path.is_file() and path.stat().st_size == one.size:
                done.add(one.size)
            else:
                missing.append((one, path))
        self._fetch_all(missing, done)

    def _fetch_all(self, missing: Sequence[tuple[StoredObject, Path]], done: "_Tally") -> None:
        names = itertools.count()
        pool = ThreadPoolExecutor(max_workers=self.connections, thread_name_prefix="pull")
        try:
            futures = [pool.submit(self._fetch, one, path, self.partial / str(next(names)), done) for one, path in missing]
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
        finally:
            # After an error or SIGTERM nothing more is started; running downloads end at their next chunk.
            pool.shutdown(wait=True, cancel_futures=True)

    def _fetch(self, one: StoredObject, path: Path, partial: Path, done: "_Tally") -> None:
        if self.retry.stop.requested:
            raise StoppedError

        def fetch_afresh() -> None:
            partial.unlink(missing_ok=True)
            self.store.fetch(one, partial, self._cancelled)

        try:
            self.retry.call(f"pulling {one.key}", fetch_afresh)
            partial.rename(path)
        except NotFoundError as error:
            raise RetryableError(
                Reason.STORAGE_UNAVAILABLE, f"{self.store.uri}{one.key} was listed but is gone: is someone changing the dataset?"
            ) from error
        except OSError as error:
            raise _disk_error(error, one.key) from error
        done.add(one.size)

    def _cancelled(self) -> bool:
        return self.retry.stop.requested

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            key = folder.relative_to(self.target).as_posix()
            raise FatalError(
                Reason.BAD_DATASET, f"{self.store.uri}{key} is an object, but {key}/ also contains objects: rename one of them"
            ) from error


class _Tally:
    """Counts from many threads."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._lock = threading.Lock()
        self._progress = progress
        self._files = self._bytes = 0

    def add(self, size: int) -> None:
        with self._lock:
            self._files += 1
            self._bytes += size
            self._progress(self._files, self._bytes)


def check_space(objects: Sequence[StoredObject], free_bytes: int, limit_bytes: int) -> None:
    """Check that the dataset fits on the disk, before pulling its first byte.

    Raises FatalError(DISK_FULL) if it can never fit into `limit_bytes` (spec.resources.workspace), RetryableError(DISK_FULL) if
    other files currently take too much space.
    """
    needed = _MARGIN_BYTES + sum(-(-one.size // _BLOCK_BYTES) * _BLOCK_BYTES for one in objects)
    if needed > limit_bytes:
        raise FatalError(
            Reason.DISK_FULL,
            f"the dataset needs {in_words(needed)} of disk, but spec.resources.workspace is {in_words(limit_bytes)}: raise it",
        )
    if needed > free_bytes:
        raise RetryableError(
            Reason.DISK_FULL, f"the dataset needs {in_words(needed)} of disk, but the workspace has {in_words(free_bytes)} free"
        )


def in_words(size: int) -> str:
    """A number of bytes for people."""
    amount, unit = float(size), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _disk_error(error: OSError, key: str) -> Exception:
    if error.errno in NO_SPACE:
        return RetryableError(Reason.DISK_FULL, f"the disk filled up while pulling {key}: {error}")
    if error.errno in {errno.EISDIR, errno.ENOTDIR, errno.EEXIST}:
        return FatalError(Reason.BAD_DATASET, f"object {key!r} is both a file and a folder: rename one of them")
    return error
