"""Checkpoints in the run folder: complete once a marker names them, verified by digest, pruned once a newer one is complete."""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from headrace_api import runfolder
from headrace_api.fields import Model
from headrace_api.trainingjob import Checkpoint, MetricValue
from headrace_api.wrong_fields import wrong_fields_in_words
from headrace_storage.keys import refuse_symlinks
from headrace_storage.store import NotFoundError, Store, StoredObject

_NUMBERED = re.compile(r"checkpoints/([0-9]{8,})/([^/]+)")


class FileMark(Model):
    """What a marker says about one file."""

    size: int = Field(ge=0, description="Bytes.")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="Digest of the content; older markers have none.")

    @classmethod
    def of(cls, path: Path) -> "FileMark":
        """Reads the whole file."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(size=file.tell(), sha256=digest)


def _from_size(value: Any) -> Any:
    return {"size": value} if isinstance(value, int) else value


class Marker(Model):
    """`checkpoints/latest.json` and `checkpoints/best.json`, and `complete.json` in the folder of each checkpoint."""

    iteration: int = Field(ge=0, description="Iterations done when the checkpoint was taken.")
    folder: str = Field(description="Key prefix of the checkpoint's files.")
    files: dict[str, Annotated[FileMark, BeforeValidator(_from_size)]] = Field(
        description="Size and digest of each file, by its name in the folder. Older markers have the size alone."
    )
    trained_seconds: float = Field(0, ge=0, description="Seconds of training, over all attempts.")
    metrics: list[MetricValue] = Field(default_factory=list, description="Scores of the last evaluation before it.")

    def objects(self) -> list[StoredObject]:
        """The files of a complete checkpoint."""
        return [StoredObject(self.folder + name, mark.size) for name, mark in sorted(self.files.items())]

    def described(self, store: Store) -> Checkpoint:
        """The checkpoint as the job's status shows it."""
        return Checkpoint(uri=store.uri + self.folder, iteration=self.iteration)

    def is_verifiable(self) -> bool:
        """Whether the marker has a digest for every file."""
        return all(mark.sha256 is not None for mark in self.files.values())

    def damaged_files(self, folder: Path) -> list[tuple[Path, str]]:
        """The files below `folder` (the root of a local copy) that differ from their digest, each with what is wrong in words."""
        found = []
        for name, wanted in sorted(self.files.items()):
            path = folder / self.folder / name
            mark = FileMark.of(path)
            if mark.sha256 != (wanted.sha256 or mark.sha256):
                found.append(
                    (path, f"{self.folder}{name} is damaged: its SHA-256 is {mark.sha256}, the marker says {wanted.sha256}")
                )
        return found


def read_marker(store: Store, key: str) -> Marker | None:
    """The marker at `key`, or None if there is none. Raises pydantic.ValidationError."""
    try:
        return Marker.model_validate_json(store.read(key))
    except NotFoundError:
        return None


def find_complete(store: Store, say: Callable[[str], None], besides: Collection[str] = ()) -> Marker | None:
    """The newest complete checkpoint that a marker names: latest.json, best.json, or the complete.json of its own folder.

    Passes over those in the folders `besides`, which are damaged or which the worker could not load.

    A marker is written after its files, and files are removed only after a newer marker is written; so a marker without its files
    means that someone else deleted them, which is logged and survived.
    """
    troubles: list[str] = []
    own = [one.key for one in store.list("checkpoints/") if _is_own_marker(one.key)]
    found = [complete_marker(store, key, troubles.append) for key in (runfolder.LATEST, runfolder.BEST, *own)]
    usable = [marker for marker in found if marker is not None and marker.folder not in besides]
    newest = max(usable, key=lambda marker: marker.iteration, default=None)
    if newest is None and troubles and not besides:
        troubles.append("no complete checkpoint is left: the training starts over")
    for trouble in dict.fromkeys(troubles):
        say(trouble)
    return newest


def complete_marker(store: Store, key: str, say: Callable[[str], None]) -> Marker | None:
    """The marker at `key`, if all its files are there; else None, with a line to `say` unless there is no marker at all."""
    try:
        marker = read_marker(store, key)
    except ValidationError as error:
        say(f"{store.uri}{key} cannot be read and is ignored: {wrong_fields_in_words(error, Marker)}")
        return None
    if marker is None:
        return None
    if marker.folder != runfolder.checkpoint(marker.iteration):
        say(f"{store.uri}{key} is ignored: iteration {marker.iteration} cannot be in the folder {marker.folder!r}")
        return None
    if lacking := _lacking(marker, store.list(marker.folder)):
        say(f"checkpoint {store.uri}{marker.folder} is incomplete and is ignored: {lacking[0]} is missing or has another size")
        return None
    return marker


def _lacking(marker: Marker, listed: Iterable[StoredObject]) -> list[str]:
    there = {(one.key, one.size) for one in listed}
    return [one.key for one in marker.objects() if (one.key, one.size) not in there]


def _is_own_marker(key: str) -> bool:
    match = _NUMBERED.fullmatch(key)
    return match is not None and match[2] == runfolder.COMPLETE


def own_marker_key(marker: Marker) -> str:
    """The key of the complete.json in a checkpoint's folder."""
    return marker.folder + runfolder.COMPLETE


def local_files(folder: Path) -> dict[str, Path]:
    """The files below `folder`, by relative name. Raises FatalError if one is a symbolic link."""
    found = {}
    for path in sorted(folder.rglob("*")):
        refuse_symlinks(folder, path)
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = path
    return found


def publish_marker(store: Store, key: str, marker: Marker) -> None:
    """Mark a checkpoint as complete. All its files must already be in the store."""
    store.write(key, marker.model_dump_json(by_alias=True, exclude_none=True, indent=2).encode() + b"\n")


def superseded(store: Store, latest: Marker, best: Marker | None) -> list[str]:
    """Keys of the checkpoints, complete or not, that are older than `latest` and are not the best; [] unless `latest` is complete.

    Only names that we write count, in folders that we number: everything else is somebody's.
    """
    listed = store.list("checkpoints/")
    if _lacking(latest, listed):
        return []
    ours = {*latest.files, runfolder.COMPLETE}
    found = []
    for one in listed:
        match = _NUMBERED.fullmatch(one.key)
        if match is None or match[2] not in ours or int(match[1]) >= latest.iteration:
            continue
        if best is None or int(match[1]) != best.iteration:
            found.append(one.key)
    # Markers first: a removal that is cut short must not leave a marker without its files.
    return sorted(found, key=lambda key: not _is_own_marker(key))
