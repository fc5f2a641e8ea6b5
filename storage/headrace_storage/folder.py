"""A store in a local folder: the same run folder layout without object storage."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from headrace_api.names import Reason
from headrace_storage.keys import path_for, refuse_symlinks
from headrace_storage.stop import StoppedError
from headrace_storage.store import DamagedError, NotFoundError, StoredObject, never
from headrace_storage.traffic import Traffic
from headrace_storage.unusable_folder import usable_folder

_TEMPORARY_PREFIX = ".headrace-"
_CHUNK_BYTES = 1 << 20


class FolderStore:
    """Objects are files below `root`, which may itself be a link; the first write creates it.

    `blamed` is the reason of the FatalError for a link below `root`: such a link is the fault of whoever filled the folder.
    """

    def __init__(self, root: Path, blamed: Reason = Reason.BAD_DATASET) -> None:
        self.root = root.absolute()
        self.uri = f"{self.root}/"
        self.traffic = Traffic()
        self._blamed = blamed

    def folders(self, prefix: str = "") -> list[str]:
        start = path_for(self.root, prefix.rstrip("/")) if prefix else self.root
        refuse_symlinks(self.root, start)
        try:
            return sorted(entry.name for entry in start.iterdir() if entry.is_dir() and not entry.is_symlink())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def list(self, prefix: str = "", cancelled: Callable[[], bool] = never) -> list[StoredObject]:
        start = self.root / prefix.rpartition("/")[0]
        found = (path for path in _files(start, cancelled) if not path.name.startswith(_TEMPORARY_PREFIX))
        # Not stat, which fails on a link that leads nowhere. Nothing reads a link, so its size does not matter.
        objects = (StoredObject(path.relative_to(self.root).as_posix(), path.lstat().st_size) for path in found)
        return sorted((one for one in objects if one.key.startswith(prefix)), key=lambda one: one.key)

    def read(self, key: str, most: int | None = None) -> bytes:
        path = path_for(self.root, key)
        refuse_symlinks(self.root, path, self._blamed)
        try:
            with path.open("rb") as file:
                return file.read(most)
        except FileNotFoundError as error:
            raise NotFoundError(f"no file {path}") from error

    def fetch(self, stored: StoredObject, target: Path, cancelled: Callable[[], bool] = never) -> None:
        source = path_for(self.root, stored.key)
        refuse_symlinks(self.root, source, self._blamed)
        try:
            with source.open("rb") as reading, target.open("xb") as writing:
                while chunk := reading.read(_CHUNK_BYTES):
                    if cancelled():
                        raise StoppedError
                    writing.write(chunk)
                size = writing.tell()
        except FileNotFoundError as error:
            raise NotFoundError(f"no file {source}") from error
        if size != stored.size:
            raise DamagedError(f"{source} has {size} bytes, but had {stored.size} when it was listed")

    def write(self, key: str, content: bytes) -> None:
        with usable_folder("output", self.root), self._replacing(key) as temporary:
            temporary.write_bytes(content)

    def upload(self, key: str, source: Path) -> None:
        with usable_folder("output", self.root), self._replacing(key) as temporary:
            shutil.copyfile(source, temporary)

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = path_for(self.root, key)
            refuse_symlinks(self.root, path, self._blamed)
            path.unlink(missing_ok=True)
            # In an object store, a folder disappears with its last object; so it does here.
            with contextlib.suppress(OSError):
                for folder in path.parents:
                    if folder == self.root:
                        break
                    folder.rmdir()

    def discard_unfinished(self) -> None:
        """Nothing: whoever locks the folder (FolderLock) removes what killed uploads left in it."""

    @contextlib.contextmanager
    def _replacing(self, key: str) -> Iterator[Path]:
        """A new file next to the target, renamed over it at the end: readers see the old or the new content, never half of it."""
        target = path_for(self.root, key)
        refuse_symlinks(self.root, target, self._blamed)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY_PREFIX, dir=target.parent)
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.rename(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _files(folder: Path, cancelled: Callable[[], bool]) -> Iterator[Path]:
    """Every file below `folder`. Symbolic links are included (reading one is refused) but not followed."""
    for place, _, names in os.walk(folder):
        for name in names:
            if cancelled():
                raise StoppedError
            yield Path(place) / name
