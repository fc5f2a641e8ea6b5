"""A job's initial weights: located before the dataset is pulled, fetched for the worker afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace_api import runfolder
from headrace_api.errors import FatalError
from headrace_api.names import ENV_INITIAL_WEIGHTS, STORAGE_ENV, Reason
from headrace_storage.places import local_path, open_store
from headrace_storage.pull import Pull
from headrace_storage.retry import Retry
from headrace_storage.store import Store, StoredObject

_SUFFIXES = (".safetensors", ".pth")
"""Suffixes of weight files; any other path is a folder."""
_OF_A_FOLDER = (runfolder.MODEL_WEIGHTS, runfolder.MODEL_CONFIG)
"""The files needed from a model/ folder."""


@dataclass(frozen=True)
class FoundWeights:
    """The weights' location: on this machine, to be read in place, or in object storage."""

    uri: str
    """As the job names it."""
    store: Store | None = None
    objects: tuple[StoredObject, ...] = ()
    """The files to pull from `store`: a weight file, or the needed files of a folder."""

    def bring_in(self, folder: Path, partial: Path, retry: Retry) -> Path:
        """The file or folder for the worker; pulls from object storage into `folder`, by way of `partial`."""
        if self.store is None:
            return Path(self.uri).absolute()
        Pull(self.store, folder, partial, retry, connections=len(self.objects)).run(self.objects)
        return folder / self.objects[0].key if self.uri.endswith(_SUFFIXES) else folder


def find_weights(uri: str, environment: Mapping[str, str], retry: Retry) -> FoundWeights:
    """Locate the weights at `uri`: s3://... or a path, to a model/ folder, a run folder that has one, or one file.

    Raises FatalError: BAD_MODEL if there are none, STORAGE_REFUSED if the storage denies access.
    """
    found, lacking = _look(uri, environment, retry)
    if lacking and not uri.endswith(_SUFFIXES):
        found, lacking_there = _look(f"{uri.rstrip('/')}/{runfolder.MODEL}", environment, retry)
        lacking = lacking if lacking_there else []
    if lacking:
        raise FatalError(
            Reason.BAD_MODEL,
            f"model.initialWeights: {uri} does not exist or has no {lacking[0]}: give an earlier job's run folder or the model/ "
            f"folder in it, or a file that ends in {' or '.join(_SUFFIXES)}",
        )
    return found


def _look(uri: str, environment: Mapping[str, str], retry: Retry) -> tuple[FoundWeights, list[str]]:
    """The needed files at `uri`, and the names of the missing ones."""
    folder, wanted = (uri.rpartition("/")[0], (uri.rpartition("/")[2],)) if uri.endswith(_SUFFIXES) else (uri, _OF_A_FOLDER)
    if local_path(uri) is not None:
        return FoundWeights(uri), [name for name in wanted if not Path(folder, name).is_file()]
    store = open_store(folder, environment)
    there = {one.key: one for name in wanted for one in _listed(store, name, retry)}
    objects = tuple(there[name] for name in wanted if name in there)
    return FoundWeights(uri, store, objects), [name for name in wanted if name not in there]


def environment_for_weights(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with the credentials of the weights' own storage, if any, instead of the dataset's."""
    own = {name: environment[ENV_INITIAL_WEIGHTS + name] for name in STORAGE_ENV if environment.get(ENV_INITIAL_WEIGHTS + name)}
    if not own:
        return dict(environment)
    return {name: value for name, value in environment.items() if name not in STORAGE_ENV} | own


def _listed(store: Store, name: str, retry: Retry) -> list[StoredObject]:
    return retry.call("looking for the initial weights", lambda: store.list(name))
