"""Where datasets come from and run folders go: object storage or a local folder, behind one small protocol.

Each store turns the errors of client libraries into
    StoreError
    ├── NotFoundError                    no such object
    ├── DamagedError                     the content differs from the listing: shorter, longer, another checksum
    └── UnavailableError                 it may work later: connection refused, 5xx
    FatalError(STORAGE_REFUSED)     it will not work later: no such bucket, wrong keys, access denied
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headrace_storage.traffic import Traffic


class StoreError(Exception):
    """Something went wrong that is not final; the message names the store and the key."""


class NotFoundError(StoreError):
    """There is no such object."""


class DamagedError(StoreError):
    """The content differs from the listing."""


class UnavailableError(StoreError):
    """The store does not answer, or answers with an error."""


@dataclass(frozen=True)
class StoredObject:
    """One object of a listing."""

    key: str
    """Relative to the store's root."""
    size: int
    """Bytes."""
    etag: str = ""
    """As the store gives it, without quotes; usually, but not always, the MD5 of the content."""


def never() -> bool:
    """For `cancelled`: let the operation finish."""
    return False


class Fetchable(Protocol):
    """A folder of objects to download. Keys are relative to it. Methods may be called from any thread; they raise the errors above.

    Slow methods call `cancelled` repeatedly, and raise StoppedError once it returns True.
    """

    uri: str
    """URI of the root, ending in "/"."""

    def folders(self, prefix: str = "") -> list[str]:
        """Names of the folders directly in the folder `prefix`, "" or ending in "/"; sorted. One request for every thousand."""

    def list(self, prefix: str = "", cancelled: Callable[[], bool] = never) -> list[StoredObject]:
        """All objects whose key starts with `prefix`, sorted by key."""

    def fetch(self, stored: StoredObject, target: Path, cancelled: Callable[[], bool] = never) -> None:
        """Write an object to `target`, a file that does not exist yet, and verify its size and, if known, its MD5."""


class Store(Fetchable, Protocol):
    """A store that can also read single objects, and write."""

    traffic: Traffic
    """What uploads have sent so far, if the store is reached through a network."""

    def read(self, key: str, most: int | None = None) -> bytes:
        """Read a small object, or its first `most` bytes."""

    def write(self, key: str, content: bytes) -> None:
        """Write a small object, completely or not at all."""

    def upload(self, key: str, source: Path) -> None:
        """Upload a file, completely or not at all."""

    def remove(self, keys: Iterable[str]) -> None:
        """Delete objects; it is not an error if some are already gone."""

    def discard_unfinished(self) -> None:
        """Remove the parts of killed uploads, which S3 keeps and charges but does not list; also ends uploads in progress."""
