"""Scratch folders: gone at the end, or when the next command begins; never while somebody uses them, and never somebody else's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace_storage.scratch import scratch_folder

_USES_ONE = """
import subprocess, sys, time
from headrace_storage.scratch import scratch_folder
with scratch_folder() as scratch:
    (scratch.folder / "data").mkdir()
    (scratch.folder / "data" / "file").write_text("x")
    child = None
    if sys.argv[1] == "with a child":
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=(scratch.lock,)
        )
    print(scratch.folder, child and child.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def own_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def start(how: str = "alone") -> "tuple[subprocess.Popen[str], Path, str]":
    user = subprocess.Popen([sys.executable, "-c", _USES_ONE, how], stdout=subprocess.PIPE, text=True)
    assert user.stdout is not None
    folder, child = user.stdout.readline().split()
    return user, Path(folder), child


def kill(user: "subprocess.Popen[str]") -> None:
    user.kill()
    user.communicate()


def test_it_is_gone_at_the_end(own_tmp: Path) -> None:
    with scratch_folder() as scratch:
        (scratch.folder / "file").write_text("x")
        assert list(own_tmp.iterdir()) == [scratch.folder]
    assert list(own_tmp.iterdir()) == []


def test_one_of_a_killed_command_is_removed_and_one_in_use_is_not() -> None:
    killed, abandoned, _ = start()
    living, in_use, _ = start()
    try:
        kill(killed)
        assert abandoned.exists()
        with scratch_folder():
            assert not abandoned.exists()
            assert (in_use / "data/file").read_text() == "x"
    finally:
        kill(living)


def test_a_child_that_outlives_its_command_keeps_the_folder(own_tmp: Path) -> None:
    user, folder, child = start("with a child")
    user.kill()  # the child goes on until its stdin ends, and that end is held by nobody else
    user.wait()
    os.kill(int(child), signal.SIGSTOP)
    with scratch_folder():
        assert (folder / "data/file").exists()
    os.kill(int(child), signal.SIGKILL)
    user.communicate()


@pytest.mark.parametrize("name", ["headrace-mine", "headrace-abcdefgh", "other"])
def test_what_no_command_made_is_left_alone(own_tmp: Path, tmp_path: Path, name: str) -> None:
    (own_tmp / name).mkdir()
    (own_tmp / name / "file").write_text("x")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/.headrace-scratch").touch()
    (own_tmp / "headrace-link").symlink_to(tmp_path / "linked")
    with scratch_folder():
        pass
    assert (own_tmp / name / "file").read_text() == "x"
    assert (tmp_path / "linked/.headrace-scratch").exists()
