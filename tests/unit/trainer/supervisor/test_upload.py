"""Uploads lose nothing, rewrite nothing, delay nothing, and give up in the end."""

import io
import itertools
import math
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.runfolder import Attempt
from headrace_api.trainingjob import parse_job
from headrace_runs.record_lines import lines
from headrace_storage import retry
from headrace_storage.folder import FolderStore
from headrace_storage.store import UnavailableError
from headrace_testing.builders import manifest
from headrace_trainer.supervisor.board import Board
from headrace_trainer.supervisor.journal import Journal
from headrace_trainer.supervisor.metrics import Metrics
from headrace_trainer.supervisor.run_record import RunRecord
from headrace_trainer.supervisor.upload import Limits, Uploads


class ShakyStore(FolderStore):
    """A folder that is unavailable while `away` is set, and refuses silent overwrites."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.away: Exception | None = None
        self.keeps_everything: Exception | None = None
        self.writes: list[str] = []
        self.now = 0.0
        """A clock that each try advances by a second."""
        self.tried = threading.Event()

    def write(self, key: str, content: bytes) -> None:
        self._maybe_fail()
        self.writes.append(key)
        super().write(key, content)

    def upload(self, key: str, source: Path) -> None:
        self._maybe_fail()
        self.writes.append(key)
        super().upload(key, source)

    def remove(self, keys: Iterable[str]) -> None:
        if self.keeps_everything is not None:
            raise self.keeps_everything
        super().remove(keys)

    def _maybe_fail(self) -> None:
        self.now += 1
        if self.away is not None:
            self.tried.set()
            raise self.away


@pytest.fixture
def store(tmp_path: Path) -> ShakyStore:
    return ShakyStore(tmp_path / "run")


class Started:
    """Uploads under test, with what they need."""

    def __init__(self, store: ShakyStore, patience: float = 60, every: float = 0.02) -> None:
        self.journal = Journal(io.StringIO(), lambda: "T")
        self.board = Board(Metrics())
        self.record = RunRecord(parse_job(manifest("job")), 1, None)
        self.uploads = Uploads(
            store,
            Attempt(1),
            self.journal,
            self.board,
            Limits(patience, every),
            record=self.record,
            folder=store.root.parent,
            clock=lambda: store.now,
        )
        self.uploads.find_next_parts()
        self.uploads.start()

    def finish(self, seconds: float = 30) -> bool:
        deadline = time.monotonic() + seconds
        return self.uploads.finish(lambda: deadline)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0)


@pytest.fixture
def started(store: ShakyStore) -> Iterator[Started]:
    started = Started(store)
    yield started
    started.finish(0)


def until(condition: object, what: str) -> None:
    limit = time.monotonic() + 30
    assert callable(condition)
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.005)


def text(store: FolderStore, kind: str) -> str:
    """What a reader finds."""
    return "".join(f"{line}\n" for line in lines(store, getattr(Attempt(1), "log" if kind == "logs" else kind)))


def test_lines_arrive_in_numbered_parts_in_order_and_once(store: ShakyStore, started: Started) -> None:
    for i in range(3):
        started.journal.say(f"line {i}")
        started.uploads.report({"iteration": i})
        until(lambda i=i: len(store.list("attempts/1/metrics/")) == i + 1, "a part for each")
    assert started.finish()
    assert text(store, "logs") == "T supervisor: line 0\nT supervisor: line 1\nT supervisor: line 2\n"
    assert text(store, "metrics") == '{"iteration":0}\n{"iteration":1}\n{"iteration":2}\n'
    assert len(store.writes) == len(set(store.writes)), "no part is written twice"
    offset = len('{"iteration":0}\n')
    assert store.writes.index("attempts/1/metrics/000000000000.jsonl") < store.writes.index(
        f"attempts/1/metrics/{offset:012d}.jsonl"
    )
    assert [one.key for one in store.list("attempts/")] == ["attempts/1/log.txt", "attempts/1/metrics.jsonl"], "folded at the end"


def test_a_checkpoint_folds_what_was_sent_and_what_follows_is_sent_in_parts(store: ShakyStore, started: Started) -> None:
    started.journal.say("before")
    until(lambda: store.list("attempts/1/logs/"), "a part")
    started.uploads.fold()
    until(lambda: not store.list("attempts/1/logs/"), "the part is folded")
    started.journal.say("after")
    until(lambda: store.list("attempts/1/logs/"), "another part")
    assert text(store, "logs") == "T supervisor: before\nT supervisor: after\n"


def test_folding_that_fails_half_way_loses_and_doubles_nothing(store: ShakyStore, started: Started) -> None:
    started.journal.say("before")
    until(lambda: store.list("attempts/1/logs/"), "a part")
    store.keeps_everything = UnavailableError("no deletion today")
    started.uploads.fold()
    until(lambda: store.list("attempts/1/log.txt"), "folded")
    assert text(store, "logs").startswith("T supervisor: before\n")
    started.journal.say("after")
    store.keeps_everything = None
    assert started.finish()
    assert text(store, "logs").count("before") == text(store, "logs").count("supervisor: after") == 1
    assert not store.list("attempts/1/logs/")


def test_run_json_is_written_when_it_has_news_and_only_then(store: ShakyStore, started: Started) -> None:
    until(lambda: store.list("run.json"), "the first record")
    started.record.files(model=True)
    until(lambda: b'"model": true' in store.read("run.json"), "the news")
    assert started.finish()
    assert store.writes.count("run.json") == 2


def test_parts_of_an_earlier_life_are_continued(store: ShakyStore) -> None:
    store.write("attempts/1/logs/000000000030.log", b"earlier")
    started = Started(store)
    started.journal.say("later")
    assert started.finish()
    assert [one.key for one in store.list("attempts/1/logs/")] == [
        "attempts/1/logs/000000000030.log",
        "attempts/1/logs/000000000037.log",
    ]


def test_a_store_that_is_away_loses_no_line_and_is_counted(store: ShakyStore, started: Started) -> None:
    store.away = UnavailableError("down")
    started.journal.say("before")
    assert store.tried.wait(30)
    started.journal.say("during")
    store.away = None
    assert started.finish()
    lines = text(store, "logs")
    assert lines.index("before") < lines.index("during")
    assert "uploading log: down; trying again" in lines
    assert started.board.metrics.registry.get_sample_value("headrace_trainer_upload_failures_total") >= 1


def test_a_large_file_under_way_does_not_hold_up_the_log(store: ShakyStore, started: Started) -> None:
    gate = threading.Event()
    started.uploads.submit("a large file", lambda: gate.wait(30) and None)
    started.journal.say("meanwhile")
    until(lambda: "meanwhile" in text(store, "logs"), "the log while a file is under way")
    gate.set()
    assert started.finish()


def test_files_are_pending_until_they_have_arrived(started: Started) -> None:
    gate, begun = threading.Event(), threading.Event()
    assert not started.uploads.files_pending
    started.uploads.submit("a large file", lambda: begun.set() or (gate.wait(30) and None))
    assert begun.wait(30)
    assert started.uploads.files_pending, "still uploading"
    gate.set()
    until(lambda: not started.uploads.files_pending, "the file's arrival")


def test_files_are_counted(store: ShakyStore, started: Started, tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"12345")
    started.uploads.submit_files("pictures", {"pictures/1.png": tmp_path / "picture"})
    assert started.finish()
    assert store.read("pictures/1.png") == b"12345"
    assert started.board.metrics.registry.get_sample_value("headrace_trainer_uploaded_bytes_total") == 5


def test_patience_ends_with_the_cause_and_without_another_try(store: ShakyStore, no_pauses: None) -> None:
    started = Started(store, patience=3)
    store.away = UnavailableError("down")
    started.journal.say("line")
    until(lambda: started.uploads.error is not None, "giving up")
    assert started.uploads.error is not None
    assert started.uploads.error.reason is Reason.STORAGE_UNAVAILABLE
    assert started.uploads.error.message == "uploading log: gave up after 4 s without a success: down"
    store.away = None
    assert not started.finish()
    assert store.list() == []


def test_keys_that_are_refused_beyond_patience_are_refused_for_good(store: ShakyStore, no_pauses: None) -> None:
    started = Started(store, patience=1)
    store.away = FatalError(Reason.STORAGE_REFUSED, "access is denied")
    started.journal.say("line")
    until(lambda: started.uploads.error is not None, "giving up")
    assert isinstance(started.uploads.error, FatalError)
    assert not started.finish()


def test_the_deadline_is_kept_while_the_store_is_away(store: ShakyStore) -> None:
    started = Started(store, patience=math.inf)
    store.away = UnavailableError("down")
    started.journal.say("line")
    assert store.tried.wait(30)
    asked = itertools.count()
    assert not started.uploads.finish(lambda: math.inf if next(asked) < 10 else 0)
    store.away = None
    assert not started.uploads.write_last("outcome.json", b"{}"), "too late, although the store is back"


def test_a_bug_in_an_upload_is_an_error_of_the_attempt(store: ShakyStore, started: Started, tmp_path: Path) -> None:
    started.uploads.submit_files("pictures", {"pictures/1.png": tmp_path / "never written"})
    until(lambda: started.uploads.error is not None, "the error")
    assert started.uploads.error is not None
    assert started.uploads.error.reason is Reason.TRAINER_CRASHED
    assert "uploading pictures: FileNotFoundError" in started.uploads.error.message
