"""The small objects that grow or change while an attempt runs: its log and metrics, part by part, and run.json."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from headrace_api import runfolder
from headrace_api.errors import TrainerError
from headrace_storage.store import Store, StoreError

_FOLD_FREELY_BYTES = 16 << 20
"""A record up to this size is folded at each checkpoint; a larger one once it has doubled, so that folding costs at most twice its
size in all."""


class Item(Protocol):
    """Something that is sent whenever there is news. Only one thread uses it."""

    name: str

    def gather(self) -> bool:
        """Collect what is new; returns whether there is anything to send."""

    def put(self) -> None:
        """Send what was gathered. Repeated, unchanged, until it succeeds."""


class Document:
    """A small object that is replaced as a whole."""

    def __init__(self, store: Store, key: str, take: Callable[[], bytes | None]) -> None:
        """`take` returns the new content, or None if nothing has changed since it was last called."""
        self.name = key
        self._store, self._take = store, take
        self._content: bytes | None = None

    def gather(self) -> bool:
        """Collect the content."""
        self._content = self._take() or self._content
        return self._content is not None

    def put(self) -> None:
        """Write it."""
        if self._content is not None:
            self._store.write(self.name, self._content)
            self._content = None


class Parts:
    """The parts of a growing record. Each part is resent unchanged until it arrives, and never rewritten after that."""

    def __init__(self, store: Store, name: str, record: runfolder.Record, take: Callable[[], bytes], copy: Path) -> None:
        """`copy` is a local file for all that was sent, from which the record is folded."""
        self.name = name
        self._store, self._record, self._take, self._copy = store, record, take, copy
        self._offset = self._copied = self._folded = 0
        self._content = b""
        self._loose: list[str] = []
        """Keys of the parts that are still there."""

    def find_next(self) -> None:
        """Continue after the existing parts."""
        for one in self._store.list(self._record.parts):
            if (offset := self._record.offset(one.key)) is not None:
                self._offset = max(self._offset, offset + one.size)

    def gather(self) -> bool:
        """Collect new content."""
        self._content = self._content or self._take()
        return bool(self._content)

    def put(self) -> None:
        """Send the content as the next part."""
        key = self._record.part(self._offset)
        self._store.write(key, self._content)
        self._loose.append(key)
        self._offset += len(self._content)
        with suppress(OSError):  # a full disk: the parts are then not folded, and nothing is lost
            with self._copy.open("ab") as copy:
                copy.write(self._content)
            self._copied += len(self._content)
        self._content = b""

    def foldable(self, *, last: bool) -> bool:
        """Whether folding is due: always at the end, unless an earlier life wrote the first parts, which are not in our copy."""
        whole = self._copied == self._offset
        return whole and bool(self._loose) and (last or self._copied <= max(_FOLD_FREELY_BYTES, 2 * self._folded))

    def fold(self) -> None:
        """Write all that was sent as one file, then delete the parts. A reader needs no part that begins before the file ends."""
        if self._folded < self._copied:
            self._store.upload(self._record.folded, self._copy)
            self._folded = self._copied
        with suppress(StoreError, TrainerError):  # a reader copes with parts that stay, and the next folding tries again
            self._store.remove(self._loose)
            self._loose = []
