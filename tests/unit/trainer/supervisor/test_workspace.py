"""The workspace: wiped completely, and never another process's or a user's."""

import os
from pathlib import Path

import pytest

from headrace_api.errors import FatalError
from headrace_trainer.supervisor.workspace import MARKER, Workspace


def test_it_is_made_and_given_back_empty(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "deep" / "workspace")
    assert workspace.dataset.is_dir()
    assert workspace.free_bytes() > 0
    (workspace.run / "checkpoint").write_bytes(b"x")
    workspace.close()
    assert list(workspace.root.iterdir()) == []


def test_files_left_by_an_earlier_life_are_gone(tmp_path: Path) -> None:
    (tmp_path / MARKER).touch()
    (tmp_path / "dataset" / "images").mkdir(parents=True)
    (tmp_path / "dataset" / "images" / "1.jpg").touch()
    (tmp_path / "stray").touch()
    workspace = Workspace(tmp_path)
    assert not list(workspace.dataset.iterdir())
    assert not (tmp_path / "stray").exists()
    workspace.close()


def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"p")
    workspace = Workspace(tmp_path / "w")
    (workspace.root / "link").symlink_to(outside)
    (workspace.dataset / "link").symlink_to(outside)
    (workspace.dataset / "dangling").symlink_to("nowhere")
    workspace.close()
    assert (outside / "precious").read_bytes() == b"p"
    assert list(workspace.root.iterdir()) == []


def test_folders_made_unwritable_are_wiped_too(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    locked = workspace.run / "locked"
    locked.mkdir()
    (locked / "file").touch()
    locked.chmod(0o500)
    workspace.close()
    assert list(workspace.root.iterdir()) == []


def test_a_volumes_own_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    Workspace(tmp_path).close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["lost+found"]


def test_a_folder_with_somebodys_files_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FatalError, match=r"contains files that no trainer wrote \(thesis.tex\)"):
        Workspace(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_trainers_never_share_one(tmp_path: Path) -> None:
    first = Workspace(tmp_path)
    (first.dataset / "file").touch()
    with pytest.raises(FatalError, match="in use by another trainer"):
        Workspace(tmp_path)
    assert (first.dataset / "file").exists()
    first.close()
    Workspace(tmp_path).close()


def test_a_marker_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / MARKER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FatalError, match="symbolic link"):
        Workspace(tmp_path / "w")
    assert not os.path.lexists(tmp_path / "elsewhere")
