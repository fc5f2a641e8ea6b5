"""Where datasets come from and run folders go: object storage or a local folder, behind one small protocol.

What client libraries raise is turned, at one boundary, into
    StoreError
    ├── NotFoundError                    no such object
    ├── DamagedError                     what arrived is not what was listed: shorter, longer, another checksum
    └── UnavailableError                 it may work later: connection refused, 5xx
    FatalError(STORAGE_REFUSED)     it will not: no such bucket, wrong keys, access denied
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class StoreError(Exception):
    """Something went wrong that is not final; the message names the store and the key."""


class NotFoundError(StoreError):
    """There is no such object."""


class DamagedError(StoreError):
    """What arrived is not what was listed."""


class UnavailableError(StoreError):
    """The store does not answer, or not sensibly."""


@dataclass(frozen=True)
class StoredObject:
    """One object of a listing."""

    key: str
    """Relative to the store's root."""
    size: int
    """Bytes."""
    etag: str = ""
    """As the store gives it, without quotes; mostly, and not always, the MD5 of the content."""


def never() -> bool:
    """For `cancelled`: what is under way goes on to its end."""
    return False


class Fetchable(Protocol):
    """A folder of objects to get. Keys are relative to it. Methods may be called from any thread, and raise what the module says.

    What may take long asks `cancelled` again and again, and raises StoppedError once it says yes.
    """

    uri: str
    """Of the root, ending in "/"."""

    def list(self, prefix: str = "", cancelled: Callable[[], bool] = never) -> list[StoredObject]:
        """All objects whose key starts with `prefix`, sorted by key; empty where there is none."""

    def fetch(self, stored: StoredObject, target: Path, cancelled: Callable[[], bool] = never) -> None:
        """Write an object to `target`, a file that does not exist yet, and verify its size and, where known, its MD5."""


class Store(Fetchable, Protocol):
    """One to read single objects of, and to write to."""

    def read(self, key: str, most: int | None = None) -> bytes:
        """A small object, or the first `most` bytes of one."""

    def write(self, key: str, content: bytes) -> None:
        """Put a small object, as a whole or not at all."""

    def upload(self, key: str, source: Path) -> None:
        """Put a file, as a whole or not at all."""

    def remove(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are gone already count as deleted."""
