"""Checkpoints in the run folder: complete once a marker names them, found through the marker, pruned when none names them."""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from pydantic import Field, ValidationError

from headrace_api import runfolder
from headrace_api.fields import Model
from headrace_api.trainingjob import Checkpoint, MetricValue
from headrace_api.wrong_fields import wrong_fields_in_words
from headrace_storage.keys import refuse_symlinks
from headrace_storage.store import NotFoundError, Store, StoredObject


class Marker(Model):
    """`checkpoints/latest.json` and `checkpoints/best.json`."""

    iteration: int = Field(ge=0, description="Iterations done when the checkpoint was taken.")
    folder: str = Field(description="Key prefix of the checkpoint's files.")
    files: dict[str, int] = Field(description="Size in bytes of each file, by its name in the folder.")
    trained_seconds: float = Field(0, ge=0, description="Seconds of training, over all attempts.")
    metrics: list[MetricValue] = Field(default_factory=list, description="Scores of the last evaluation before it.")

    def objects(self) -> list[StoredObject]:
        """The files of a complete checkpoint."""
        return [StoredObject(self.folder + name, size) for name, size in sorted(self.files.items())]

    def described(self, store: Store) -> Checkpoint:
        """The checkpoint as the job's status shows it."""
        return Checkpoint(uri=store.uri + self.folder, iteration=self.iteration)


def read_marker(store: Store, key: str) -> Marker | None:
    """The marker at `key` (latest.json or best.json), or None if there is none. Raises pydantic.ValidationError."""
    try:
        return Marker.model_validate_json(store.read(key))
    except NotFoundError:
        return None


def find_complete(store: Store, say: Callable[[str], None], besides: Collection[str] = ()) -> Marker | None:
    """The latest complete checkpoint: the one that latest.json names, else the one that best.json names, else None.

    Passes over those in the folders `besides`, which the worker could not load.

    A marker is written after its files, and files are removed only after a newer marker is written; so a marker without its files
    means that someone else deleted them, which is logged and survived.
    """
    troubles: list[str] = []
    for key in (runfolder.LATEST, runfolder.BEST):
        marker = complete_marker(store, key, troubles.append)
        if marker is not None and marker.folder not in besides:
            break
    else:
        marker = None
        if troubles and not besides:
            troubles.append("no complete checkpoint is left: the training starts over")
    for trouble in troubles:
        say(trouble)
    return marker


def complete_marker(store: Store, key: str, say: Callable[[str], None]) -> Marker | None:
    """The marker at `key`, if all its files are there; else None, with a line to `say` unless there is no marker at all."""
    try:
        marker = read_marker(store, key)
    except ValidationError as error:
        say(f"{store.uri}{key} cannot be read and is ignored: {wrong_fields_in_words(error, Marker)}")
        return None
    if marker is None:
        return None
    there = {(one.key, one.size) for one in store.list(marker.folder)}
    lacking = [one.key for one in marker.objects() if (one.key, one.size) not in there]
    if not lacking:
        return marker
    say(f"checkpoint {store.uri}{marker.folder} is incomplete and is ignored: {lacking[0]} is missing or has another size")
    return None


def local_files(folder: Path) -> dict[str, int]:
    """Sizes of the files below `folder`, by relative name. Raises FatalError if one is a symbolic link."""
    found = {}
    for path in sorted(folder.rglob("*")):
        refuse_symlinks(folder, path)
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = path.stat().st_size
    return found


def publish_marker(store: Store, key: str, marker: Marker) -> None:
    """Mark a checkpoint as complete. All its files must already be in the store."""
    store.write(key, marker.model_dump_json(by_alias=True, indent=2).encode() + b"\n")


def superseded(store: Store, keep: Iterable[Marker | None]) -> list[str]:
    """Keys of the files of checkpoints, complete or not, that no marker in `keep` names."""
    kept = tuple(marker.folder for marker in keep if marker is not None)
    found = [one.key for one in store.list("checkpoints/") if one.key not in {runfolder.LATEST, runfolder.BEST}]
    return [key for key in found if not key.startswith(kept)]
