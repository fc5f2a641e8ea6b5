"""The one folder that a trainer writes to: wiped at the start and on every exit.

<workspace>/.headrace-workspace     marks the folder as ours to wipe; locked while in use
            dataset/                the pulled dataset
            partial/                downloads in progress
            resume/                 the checkpoint to resume from
            weights/                the initial weights
            run/                    the worker's results, laid out as in the run folder
            records/                what was uploaded of the log and the metrics
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
from headrace_storage.unusable_folder import usable_folder

MARKER: Final = ".headrace-workspace"
_NOT_OURS_BUT_HARMLESS = {"lost+found"}
"""What a new volume may contain."""


class Workspace:
    """An open workspace. Everything in it will be wiped."""

    def __init__(self, root: Path) -> None:
        """Claim `root` and wipe what an earlier run left there.

        Raises FatalError(INVALID_SPEC) if the folder has files but was never a workspace (they may be the user's), if another
        trainer is using it, or if nothing can be written there; RetryableError(DISK_FULL) if its disk is full.
        """
        self.root = root.absolute()
        with usable_folder("workspace", self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock = self._claim()
            self.wipe()
            for folder in (self.dataset, self.partial, self.resume, self.weights, self.run, self.records, self.temporary):
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
    def records(self) -> Path:
        return self.root / "records"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    def free_bytes(self) -> int:
        """Space left for an ordinary user."""
        return shutil.disk_usage(self.root).free

    def wipe(self) -> None:
        """Remove everything but the marker. Symbolic links are removed, never followed."""
        for entry in self.root.iterdir():
            if entry.name == MARKER or entry.name in _NOT_OURS_BUT_HARMLESS:
                continue
            if entry.is_dir() and not entry.is_symlink():
                _remove_tree(entry)
            else:
                entry.unlink()

    def close(self) -> None:
        """Wipe the folder and release it empty."""
        self.wipe()
        (self.root / MARKER).unlink(missing_ok=True)  # last, so that an interrupted wipe stays recognisable
        os.close(self._lock)

    def _claim(self) -> int:
        marker = self.root / MARKER
        names = {entry.name for entry in self.root.iterdir()} - _NOT_OURS_BUT_HARMLESS
        if names and MARKER not in names:
            raise FatalError(
                Reason.INVALID_SPEC,
                f"workspace {self.root} contains files that no trainer wrote ({first_few(sorted(names), 3)}): "
                "a workspace is wiped, so use an empty folder",
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
    """Like rm -rf, even for read-only folders. Never follows a symbolic link (shutil.rmtree uses descriptors)."""
    try:
        shutil.rmtree(folder)
    except PermissionError:
        for place, _, _ in os.walk(folder):
            Path(place).chmod(0o700)
        shutil.rmtree(folder)
