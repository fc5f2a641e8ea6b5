"""Markers: which checkpoints count as complete, and which are superseded."""

from pathlib import Path

import pytest

from headrace_api.errors import FatalError
from headrace_storage.folder import FolderStore
from headrace_trainer.supervisor.checkpoints import (
    FileMark,
    Marker,
    find_complete,
    local_files,
    own_marker_key,
    publish_marker,
    superseded,
)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "run")


def put_checkpoint(store: FolderStore, iteration: int) -> Marker:
    folder = f"checkpoints/{iteration:08d}/"
    for name in ("network.safetensors", "state.json"):
        store.write(folder + name, name.encode())
    files = {name: FileMark.of(store.root / folder / name) for name in ("network.safetensors", "state.json")}
    return Marker(iteration=iteration, folder=folder, files=files)


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


@pytest.mark.parametrize(
    "content", [b"", b'{"iteration": 5', b"\xff\xfe", b'{"iteration":9,"folder":"checkpoints/00000009/","files":{"a":1}}']
)
def test_without_a_readable_latest_the_newest_folder_with_its_own_marker_is_found(store: FolderStore, content: bytes) -> None:
    for iteration in (3, 5):
        marker = put_checkpoint(store, iteration)
        publish_marker(store, own_marker_key(marker), marker)
    put_checkpoint(store, 8)
    store.write("checkpoints/latest.json", content)
    iteration, said = found(store)
    assert iteration == 5
    assert "ignored" in said[0]


def test_a_marker_that_leads_out_of_its_folder_is_ignored(store: FolderStore) -> None:
    marker = put_checkpoint(store, 5)
    publish_marker(store, "checkpoints/latest.json", marker.model_copy(update={"folder": "attempts/"}))
    assert found(store)[0] is None


def test_a_marker_of_an_older_version_has_sizes_and_no_digests(store: FolderStore) -> None:
    put_checkpoint(store, 5)
    store.write(
        "checkpoints/latest.json",
        b'{"iteration":5,"folder":"checkpoints/00000005/","files":{"network.safetensors":19,"state.json":10}}',
    )
    marker = find_complete(store, print)
    assert marker is not None
    assert marker.iteration == 5
    assert not marker.is_verifiable()
    assert marker.damaged_files(store.root) == []


@pytest.mark.parametrize("content", [b"network.safetensorz", b"other"])
def test_a_file_with_another_digest_is_named_with_both_digests(store: FolderStore, content: bytes) -> None:
    marker = put_checkpoint(store, 5)
    path = store.root / marker.folder / "network.safetensors"
    wanted = FileMark.of(path).sha256
    path.write_bytes(content)
    ((damaged, words),) = marker.damaged_files(store.root)
    assert damaged == path
    assert f"checkpoints/00000005/network.safetensors is damaged: its SHA-256 is {FileMark.of(path).sha256}" in words
    assert f"the marker says {wanted}" in words


def test_older_checkpoints_that_are_not_the_best_are_superseded(store: FolderStore) -> None:
    markers = {iteration: put_checkpoint(store, iteration) for iteration in (1, 2, 3, 10, 12)}
    assert {key.split("/")[1] for key in superseded(store, markers[10], markers[2])} == {"00000001", "00000003"}
    assert {key.split("/")[1] for key in superseded(store, markers[10], None)} == {"00000001", "00000002", "00000003"}


def test_nothing_is_superseded_by_a_checkpoint_that_is_not_complete(store: FolderStore) -> None:
    put_checkpoint(store, 1)
    latest = put_checkpoint(store, 2)
    store.remove(["checkpoints/00000002/state.json"])
    assert superseded(store, latest, None) == []


def test_only_what_a_trainer_writes_is_superseded(store: FolderStore) -> None:
    for key in ("keep-me/network.safetensors", "00000001/notes.txt", "00000001/sub/state.json", "1/state.json", "state.json"):
        store.write(f"checkpoints/{key}", b"mine")
    (store.root / "checkpoints/link").symlink_to("nowhere")
    put_checkpoint(store, 1)
    gone = superseded(store, put_checkpoint(store, 2), None)
    assert gone == ["checkpoints/00000001/network.safetensors", "checkpoints/00000001/state.json"]


def test_a_link_among_the_workers_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "weights").symlink_to("/etc/hostname")
    with pytest.raises(FatalError, match="'weights' is a symbolic link"):
        local_files(tmp_path / "checkpoint")
