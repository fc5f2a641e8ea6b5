"""The store in a local folder."""

from pathlib import Path

import pytest

from headrace_api.errors import FatalError
from headrace_storage.folder import FolderStore
from headrace_storage.stop import StoppedError
from headrace_storage.store import DamagedError, NotFoundError, StoredObject


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def test_a_missing_folder_is_empty(store: FolderStore) -> None:
    assert store.list() == []
    with pytest.raises(NotFoundError):
        store.read("job.json")


def test_what_is_written_is_listed_read_and_fetched(store: FolderStore, tmp_path: Path) -> None:
    store.write("a/1", b"one")
    (tmp_path / "file").write_bytes(b"two!")
    store.upload("a/b/2", tmp_path / "file")
    assert store.list() == [StoredObject("a/1", 3), StoredObject("a/b/2", 4)]
    assert store.list("a/b/") == [StoredObject("a/b/2", 4)]
    assert store.list("a/b") == [StoredObject("a/b/2", 4)]
    assert store.read("a/1") == b"one"
    store.fetch(StoredObject("a/b/2", 4), tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"two!"


def test_a_prefix_need_not_end_at_a_segment(store: FolderStore) -> None:
    store.write("logs-old/1", b"")
    store.write("logs/1", b"")
    assert [one.key for one in store.list("logs")] == ["logs-old/1", "logs/1"]


def test_a_write_replaces_the_whole_and_leaves_nothing_else(store: FolderStore) -> None:
    store.write("latest.json", b"a long first version")
    store.write("latest.json", b"second")
    assert store.read("latest.json") == b"second"
    assert [path.name for path in store.root.iterdir()] == ["latest.json"]


def test_an_upload_that_fails_leaves_the_old_object(store: FolderStore, tmp_path: Path) -> None:
    store.write("key", b"old")
    with pytest.raises(FileNotFoundError):
        store.upload("key", tmp_path / "absent")
    assert store.read("key") == b"old"
    assert [one.key for one in store.list()] == ["key"]


def test_removing_also_removes_empty_folders_and_can_be_repeated(store: FolderStore) -> None:
    store.write("checkpoints/1/state", b"")
    store.write("checkpoints/latest.json", b"")
    store.remove(["checkpoints/1/state", "checkpoints/1/state", "never/there"])
    assert [path.name for path in (store.root / "checkpoints").iterdir()] == ["latest.json"]


def test_a_file_that_changed_since_it_was_listed_is_damaged(store: FolderStore, tmp_path: Path) -> None:
    store.write("key", b"now longer")
    with pytest.raises(DamagedError, match="has 10 bytes, but had 3 when it was listed"):
        store.fetch(StoredObject("key", 3), tmp_path / "target")


def test_nothing_outside_is_read_or_written(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"s")
    store.root.mkdir()
    (store.root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(FatalError):
        store.write("../outside/new", b"")
    with pytest.raises(FatalError):
        store.read("link/secret")
    with pytest.raises(FatalError):
        store.write("link/new", b"")
    with pytest.raises(FatalError):
        store.remove(["link/secret"])
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]
    assert store.list() == [], "links are not followed"


def test_a_stop_ends_a_listing_and_a_fetch_under_way(store: FolderStore, tmp_path: Path) -> None:
    store.write("a", b"x")
    with pytest.raises(StoppedError):
        store.list(cancelled=lambda: True)
    with pytest.raises(StoppedError):
        store.fetch(StoredObject("a", 1), tmp_path / "target", cancelled=lambda: True)
