"""`.local`: tells a crash from a running cluster, and from a folder that is not ours."""

import json
import os
import subprocess
from pathlib import Path

import psutil
import pytest

from headrace_local.local_folder import LocalFolder, NotOursError, on_path


@pytest.fixture
def local(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path)


def record(local: LocalFolder, pid: int, created: float) -> None:
    local.path.mkdir()
    (local.path / "keeper.json").write_text(json.dumps({"pid": pid, "created": created}))


def test_no_folder_is_nothing_to_clean(local: LocalFolder) -> None:
    assert not local.clean_up_after_crash()
    assert local.keeper() is None


def test_a_living_keeper_is_left_alone(local: LocalFolder) -> None:
    record(local, os.getpid(), psutil.Process().create_time())
    assert not local.clean_up_after_crash()
    assert local.path.exists()


@pytest.mark.parametrize(
    ("pid", "created"),
    [(2**22 + 1, 0.0), (os.getpid(), 0.0)],
    ids=["no such process", "the pid now belongs to another process"],
)
def test_what_a_dead_keeper_left_is_removed(local: LocalFolder, pid: int, created: float) -> None:
    record(local, pid, created)
    assert local.clean_up_after_crash()
    assert not local.path.exists()


def test_a_start_that_was_cut_off_at_once_is_removed(local: LocalFolder) -> None:
    local.path.mkdir()
    local.keeper_log.touch()
    assert local.clean_up_after_crash()
    assert not local.path.exists()


def test_a_strangers_folder_is_kept_and_named(local: LocalFolder) -> None:
    local.path.mkdir()
    (local.path / "thesis.tex").touch()
    with pytest.raises(NotOursError, match=r"\.local has files but no record of a cluster"):
        local.clean_up_after_crash()
    assert (local.path / "thesis.tex").exists()


def test_a_folder_is_put_on_the_path_once_whatever_its_name() -> None:
    line = on_path(Path("/opt/a b's/bin"))
    shell = ["sh", "-c", f'{line}{line}echo "$PATH"']
    printed = subprocess.run(shell, env={"PATH": "/bin"}, capture_output=True, text=True, check=True)
    assert printed.stdout == "/opt/a b's/bin:/bin\n"
