"""The one folder that a trainer writes to: wiped when it begins, and on every way out.

<workspace>/.headrace-workspace     says that the folder is ours to wipe, and is locked while it is used
            dataset/                what was pulled
            partial/                downloads under way
            resume/                 the checkpoint to go on from
            weights/                those to begin with
            run/                    what the worker makes, laid out as in the run folder
            tmp/                    TMPDIR of the worker
            plan.json
"""

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

from headrace_api.errors import FatalError
from headrace_api.first_few import first_few
from headrace_api.names import Reason

MARKER: Final = ".headrace-workspace"
_NOT_OURS_BUT_HARMLESS = {"lost+found"}
"""What a fresh volume may hold."""


class Workspace:
    """An open workspace. Everything in it is lost."""

    def __init__(self, root: Path) -> None:
        """Claim `root` and wipe what an earlier life left there.

        Raises FatalError(INVALID_SPEC) for a folder that holds files and was never a workspace (they might be somebody's), and for
        one that another trainer is using.
        """
        self.root = root.absolute()
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock = self._claim()
        self.wipe()
        for folder in (self.dataset, self.partial, self.resume, self.weights, self.run, self.temporary):
            folder.mkdir()

    @property
    def dataset(self) -> Path:
        return self.root / "dataset"

    @property
    def partial(self) -> Path:
        return self.root / "partial"

    @property
    def resume(self) -> Path:
        return self.root / "resume"

    @property
    def weights(self) -> Path:
        return self.root / "weights"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    def free_bytes(self) -> int:
        """What an ordinary user may still write."""
        return shutil.disk_usage(self.root).free

    def wipe(self) -> None:
        """Remove everything but the marker. A symbolic link is removed, never followed."""
        for entry in self.root.iterdir():
            if entry.name == MARKER or entry.name in _NOT_OURS_BUT_HARMLESS:
                continue
            if entry.is_dir() and not entry.is_symlink():
                _remove_tree(entry)
            else:
                entry.unlink()

    def close(self) -> None:
        """Wipe, and give the folder back empty."""
        self.wipe()
        (self.root / MARKER).unlink(missing_ok=True)  # last: an interrupted wipe stays recognisable
        os.close(self._lock)

    def _claim(self) -> int:
        marker = self.root / MARKER
        names = {entry.name for entry in self.root.iterdir()} - _NOT_OURS_BUT_HARMLESS
        if names and MARKER not in names:
            raise FatalError(
                Reason.INVALID_SPEC,
                f"workspace {self.root} holds files that are not a trainer's ({first_few(sorted(names), 3)}): "
                "a workspace is wiped, so give an empty folder",
            )
        lock = os.open(marker, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise FatalError(Reason.INVALID_SPEC, f"workspace {self.root} is in use by another trainer") from error
        return lock


def _remove_tree(folder: Path) -> None:
    """Like rm -rf, also for folders that were made unwritable. Never follows a symbolic link (shutil.rmtree uses descriptors)."""
    try:
        shutil.rmtree(folder)
    except PermissionError:
        for place, _, _ in os.walk(folder):
            Path(place).chmod(0o700)
        shutil.rmtree(folder)
