"""A log or metrics out of parts and a folded file: no line twice, none lost."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_api.runfolder import Attempt
from headrace_runs.record_lines import lines
from headrace_storage.folder import FolderStore

LOG = Attempt(1).log


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


class Growing:
    """A record as a trainer writes it."""

    def __init__(self, store: FolderStore) -> None:
        self.store = store
        self.content = b""

    def add(self, part: bytes) -> None:
        self.store.write(LOG.part(len(self.content)), part)
        self.content += part

    def fold(self, forget: int | None = None) -> None:
        """Folds all parts; `forget` says how many are deleted before the trainer is killed."""
        self.store.write(LOG.folded, self.content)
        self.store.remove([one.key for one in self.store.list(LOG.parts)][:forget])


def test_there_is_nothing_in_an_empty_folder(store: FolderStore) -> None:
    assert list(lines(store, LOG)) == []


@settings(deadline=None)
@given(
    parts=st.lists(st.text("ab\n", min_size=1, max_size=6), max_size=8),
    fold_after=st.integers(0, 8),
    forget=st.integers(0, 8),
    again=st.booleans(),
)
def test_every_line_is_read_once_wherever_folding_was_cut_off(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], fold_after: int, forget: int, again: bool
) -> None:
    record = Growing(FolderStore(tmp_path_factory.mktemp("run")))
    for place, part in enumerate(parts):
        if place == fold_after:
            record.fold(forget)
        record.add(part.encode())
    if again:
        record.fold(forget)
    text = "".join(parts)
    assert list(lines(record.store, LOG)) == text.split("\n")[: None if text and not text.endswith("\n") else -1]


def test_the_parts_of_earlier_versions_are_read_in_order(store: FolderStore) -> None:
    for number in (1, 2, 10):
        store.write(f"attempts/1/logs/{number:05d}.log", f"line {number}\n".encode())
    assert list(lines(store, LOG)) == ["line 1", "line 2", "line 10"]


def test_what_is_not_a_part_is_left_out(store: FolderStore) -> None:
    store.write(LOG.part(0), b"line\n")
    for name in (".DS_Store", "notes.log", "1.log", "000000000000.txt"):
        store.write(f"{LOG.parts}{name}", b"not ours\n")
    assert list(lines(store, LOG)) == ["line"]


def test_bytes_that_are_not_text_do_not_end_the_log(store: FolderStore) -> None:
    store.write(LOG.part(0), b"caf\xe9\nnext\n")
    assert list(lines(store, LOG)) == ["caf\N{REPLACEMENT CHARACTER}", "next"]
