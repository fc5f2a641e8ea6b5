"""Keeps a local run folder to one trainer: a lock that the kernel drops when its holder dies, however it dies."""

import errno
import fcntl
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_storage.unusable_folder import usable_folder

LOCK: Final = ".headrace-lock"
"""Stays in the folder: if it were removed, two trainers could lock two files of one name."""
_TEMPORARY = re.compile(r"\.headrace-[a-z0-9_]{8}")
"""What tempfile makes of FolderStore's prefix."""
_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class FolderLock:
    """A locked folder; close it to release it."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """Lock `folder`, which is made if need be, and remove the temporary files that a killed holder left.

        A file system without locks is reported to `say`, and used without. Raises FatalError(INVALID_SPEC) if another process holds
        the lock or the folder cannot be used.
        """
        with usable_folder("output", folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o644)
        try:
            if self._acquire(folder, say):
                for path in _abandoned(folder):
                    path.unlink(missing_ok=True)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._lock)

    def _acquire(self, folder: Path, say: Callable[[str], None]) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno == errno.EWOULDBLOCK:
                holder = os.pread(self._lock, 200, 0).decode(errors="replace").strip() or "another trainer"
                raise FatalError(
                    Reason.INVALID_SPEC,
                    f"{folder} is in use by {holder}: wait until it ends, or give this job another name or output",
                ) from error
            if error.errno in _NO_LOCKS_HERE:
                say(f"{folder} cannot be locked ({error}): make sure that no other trainer uses it")
                return False
            raise
        with usable_folder("output", folder):
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        return True


def _abandoned(folder: Path) -> list[Path]:
    """Temporary files of uploads below `folder`; links are not followed."""
    found = []
    for place, _, names in os.walk(folder):
        paths = [Path(place) / name for name in names if _TEMPORARY.fullmatch(name)]
        found += [path for path in paths if not path.is_symlink() and path.stat().st_uid == os.geteuid()]
    return found
