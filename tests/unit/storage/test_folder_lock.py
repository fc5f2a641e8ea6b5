"""One trainer per local run folder, and what a killed one left in it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_storage.folder_lock import LOCK, FolderLock

_HOLD = """
import sys, signal
from pathlib import Path
from headrace_storage.folder_lock import FolderLock
lock = FolderLock(Path(sys.argv[1]), print)
print("held", flush=True)
signal.pause()
"""


def test_a_second_process_is_told_who_holds_the_folder_until_the_first_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(FatalError, match=f"is in use by process {holder.pid} on ") as raised:
                FolderLock(tmp_path, print)
            assert raised.value.reason is Reason.INVALID_SPEC
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait()
    FolderLock(tmp_path, print).close()


def test_only_temporary_files_of_uploads_are_reclaimed(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    left = tmp_path / "checkpoints/.headrace-a1b2c3_x"
    theirs = [tmp_path / name for name in (".headrace-notes.txt", "headrace-a1b2c3_x", "checkpoints/.headrace-my-own-file")]
    for path in (left, *theirs):
        path.write_text("x")
    (tmp_path / ".headrace-aaaaaaaa").symlink_to(theirs[0])
    FolderLock(tmp_path, print).close()
    assert not left.exists()
    assert all(path.exists() for path in theirs)
    assert (tmp_path / ".headrace-aaaaaaaa").is_symlink()
    assert (tmp_path / LOCK).exists()


def test_temporary_files_of_a_live_holder_are_left_alone(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path, print)
    (tmp_path / ".headrace-a1b2c3_x").write_text("x")
    with pytest.raises(FatalError, match=str(os.getpid())):
        FolderLock(tmp_path, print)
    assert (tmp_path / ".headrace-a1b2c3_x").exists()
    lock.close()
