"""Pulling: only whole files, each fetched once, and nothing outside the folder."""

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace_api.errors import FatalError, RetryableError
from headrace_api.names import Reason
from headrace_storage.pull import Pull, check_space, in_words
from headrace_storage.retry import Retry
from headrace_storage.stop import StoppedError
from headrace_storage.store import DamagedError, NotFoundError, StoredObject, UnavailableError, never
from headrace_testing.moved_time import MovedTime


class FakeStore:
    """Holds objects; raises the errors in `trouble`, by key, one after another."""

    uri = "s3://bucket/dataset/"

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.trouble: dict[str, list[Exception]] = {}
        self.fetched: list[str] = []
        self._lock = threading.Lock()

    def list(self, prefix: str = "", cancelled: Callable[[], bool] = never) -> list[StoredObject]:
        return [StoredObject(key, len(content)) for key, content in sorted(self.objects.items()) if key.startswith(prefix)]

    def fetch(self, stored: StoredObject, target: Path, cancelled: Callable[[], bool] = never) -> None:
        with self._lock:
            self.fetched.append(stored.key)
            errors = self.trouble.get(stored.key, [])
            error = errors.pop(0) if errors else None
        with target.open("xb") as file:
            if error is not None:
                file.write(b"half")
                raise error
            file.write(self.objects[stored.key])


@pytest.fixture
def stop() -> Iterator[MovedTime]:
    stop = MovedTime()
    yield stop
    stop.close()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore({f"images/{i}/{i}.jpg": b"x" * i for i in range(20)} | {"dataset.json": b"{}"})


def puller(store: FakeStore, folder: Path, stop: MovedTime, patience: float = 30) -> Pull:
    (folder / "partial").mkdir(exist_ok=True)
    (folder / "dataset").mkdir(exist_ok=True)
    said: list[str] = []
    return Pull(store, folder / "dataset", folder / "partial", Retry(patience, stop, said.append, lambda: stop.now), connections=4)


def test_everything_arrives_and_progress_is_reported(store: FakeStore, tmp_path: Path, stop: MovedTime) -> None:
    told: list[tuple[int, int]] = []
    puller(store, tmp_path, stop).run(store.list(), lambda files, size: told.append((files, size)))
    for key, content in store.objects.items():
        assert (tmp_path / "dataset" / key).read_bytes() == content
    assert told[-1] == (21, 192)
    assert [files for files, _ in told] == list(range(1, 22))
    assert not list((tmp_path / "partial").iterdir())


def test_a_broken_download_starts_over(store: FakeStore, tmp_path: Path, stop: MovedTime) -> None:
    store.trouble = {"images/7/7.jpg": [UnavailableError("reset"), DamagedError("short")]}
    puller(store, tmp_path, stop).run(store.list())
    assert (tmp_path / "dataset/images/7/7.jpg").read_bytes() == b"x" * 7
    assert store.fetched.count("images/7/7.jpg") == 3


def test_complete_files_are_not_fetched_again(store: FakeStore, tmp_path: Path, stop: MovedTime) -> None:
    store.trouble = {"images/7/7.jpg": [UnavailableError("down")] * 100}
    with pytest.raises(RetryableError, match=r"pulling images/7/7.jpg: gave up after .*: down"):
        puller(store, tmp_path, stop, patience=0).run(store.list())
    there = {path.relative_to(tmp_path / "dataset").as_posix() for path in (tmp_path / "dataset").rglob("*") if path.is_file()}
    assert "images/7/7.jpg" not in there, "a partial file must not have the final name"
    store.fetched, store.trouble = [], {}
    puller(store, tmp_path, stop).run(store.list())
    assert set(store.fetched) == store.objects.keys() - there


def test_a_hostile_key_is_refused_before_anything_is_fetched(store: FakeStore, tmp_path: Path, stop: MovedTime) -> None:
    store.objects["zzz/../../../escape"] = b"evil"
    with pytest.raises(FatalError, match=r"'\.\.' segment"):
        puller(store, tmp_path, stop).run(store.list())
    assert store.fetched == []


def test_an_object_that_vanished_is_named(store: FakeStore, tmp_path: Path, stop: MovedTime) -> None:
    store.trouble = {"images/3/3.jpg": [NotFoundError("gone")]}
    with pytest.raises(RetryableError, match=r"images/3/3.jpg was listed but is gone"):
        puller(store, tmp_path, stop).run(store.list())


def test_a_full_disk_is_reported_as_such(store: FakeStore, tmp_path: Path, stop: MovedTime) -> None:
    store.trouble = {"images/3/3.jpg": [OSError(errno.ENOSPC, "No space left on device")]}
    with pytest.raises(RetryableError, match=r"the disk filled up while pulling images/3/3.jpg") as error:
        puller(store, tmp_path, stop).run(store.list())
    assert error.value.reason is Reason.DISK_FULL


def test_a_stop_ends_the_pull(store: FakeStore, tmp_path: Path, stop: MovedTime) -> None:
    stop.request()
    with pytest.raises(StoppedError):
        puller(store, tmp_path, stop).run(store.list())
    assert store.fetched == []


def test_space_is_counted_in_blocks_with_a_margin() -> None:
    files = [StoredObject(f"{i}.txt", 1) for i in range(1000)]
    needed = 1000 * 4096 + (64 << 20)
    check_space(files, free_bytes=needed, limit_bytes=needed)
    with pytest.raises(RetryableError, match=r"the dataset needs 67.9 MiB of disk, but the workspace has 67.9 MiB free"):
        check_space(files, free_bytes=needed - 1, limit_bytes=needed)
    with pytest.raises(FatalError, match=r"spec.resources.workspace is 67.9 MiB: raise it") as error:
        check_space(files, free_bytes=0, limit_bytes=needed - 1)
    assert error.value.reason is Reason.DISK_FULL


@pytest.mark.parametrize(
    ("size", "want"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 50, "3072.0 TiB")]
)
def test_sizes_for_people(size: int, want: str) -> None:
    assert in_words(size) == want
