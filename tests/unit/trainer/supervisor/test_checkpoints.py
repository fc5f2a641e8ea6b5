"""Markers: which checkpoints count as complete, and which are superseded."""

from pathlib import Path

import pytest

from headrace_api.errors import FatalError
from headrace_storage.folder import FolderStore
from headrace_trainer.supervisor.checkpoints import Marker, find_complete, local_files, publish_marker, superseded


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "run")


def put_checkpoint(store: FolderStore, iteration: int) -> Marker:
    folder = f"checkpoints/{iteration:08d}/"
    for name in ("network.safetensors", "state.json"):
        store.write(folder + name, name.encode())
    return Marker(iteration=iteration, folder=folder, files={"network.safetensors": 19, "state.json": 10})


def found(store: FolderStore) -> tuple[int | None, list[str]]:
    said: list[str] = []
    marker = find_complete(store, said.append)
    return marker.iteration if marker else None, said


def test_an_empty_run_folder_has_no_checkpoint(store: FolderStore) -> None:
    assert found(store) == (None, [])


def test_files_without_a_marker_are_not_a_checkpoint(store: FolderStore) -> None:
    put_checkpoint(store, 5)
    assert found(store) == (None, [])


def test_the_latest_marker_counts(store: FolderStore) -> None:
    publish_marker(store, "checkpoints/best.json", put_checkpoint(store, 3))
    publish_marker(store, "checkpoints/latest.json", put_checkpoint(store, 5))
    put_checkpoint(store, 8)
    assert found(store) == (5, [])


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_if_the_latest_lost_a_file_the_best_is_used_and_the_log_says_so(store: FolderStore, damage: str) -> None:
    publish_marker(store, "checkpoints/best.json", put_checkpoint(store, 3))
    publish_marker(store, "checkpoints/latest.json", put_checkpoint(store, 5))
    if damage == "missing":
        store.remove(["checkpoints/00000005/state.json"])
    else:
        store.write("checkpoints/00000005/state.json", b"{")
    iteration, said = found(store)
    assert iteration == 3
    assert "checkpoints/00000005/state.json is missing or has another size" in said[0]


def test_an_invalid_marker_is_reported(store: FolderStore) -> None:
    store.write("checkpoints/latest.json", b"{}")
    iteration, said = found(store)
    assert iteration is None
    assert "cannot be read and is ignored" in said[0]


def test_if_neither_is_complete_training_starts_over_and_the_log_says_so(store: FolderStore) -> None:
    publish_marker(store, "checkpoints/best.json", put_checkpoint(store, 3))
    publish_marker(store, "checkpoints/latest.json", put_checkpoint(store, 5))
    store.remove(["checkpoints/00000003/state.json", "checkpoints/00000005/state.json"])
    iteration, said = found(store)
    assert iteration is None
    assert len(said) == 3
    assert "starts over" in said[-1]


def test_checkpoints_that_no_marker_names_are_superseded(store: FolderStore) -> None:
    markers = {iteration: put_checkpoint(store, iteration) for iteration in (1, 2, 3, 10)}
    publish_marker(store, "checkpoints/latest.json", markers[10])
    gone = superseded(store, (markers[10], markers[2]))
    assert {key.split("/")[1] for key in gone} == {"00000001", "00000003"}
    assert superseded(store, (markers[10], None)) == sorted(
        key.key for key in store.list("checkpoints/") if "/0000001" not in key.key and not key.key.endswith("latest.json")
    )


def test_a_link_among_the_workers_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "weights").symlink_to("/etc/hostname")
    with pytest.raises(FatalError, match="'weights' is a symbolic link"):
        local_files(tmp_path / "checkpoint")
