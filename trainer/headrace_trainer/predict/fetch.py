"""Fetches a model from object storage."""

import os
from pathlib import Path

from headrace_api import runfolder
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_storage.places import local_path, open_store
from headrace_storage.store import Store, StoredObject, StoreError


def model_folder(place: str, temporary: Path) -> Path:
    """The folder `place` itself, or for s3://bucket/prefix/ a copy, in `temporary`, of the model there or in its model/.

    Raises FatalError: BAD_MODEL if there is none, STORAGE_REFUSED if the keys are wrong, STORAGE_UNAVAILABLE.
    """
    if (folder := local_path(place)) is not None:
        return folder
    store = open_store(place, os.environ)
    try:
        for prefix in ("", runfolder.MODEL):
            found = [_find(store, prefix + name) for name in (runfolder.MODEL_CONFIG, runfolder.MODEL_WEIGHTS)]
            if found[0] is not None:
                for stored in filter(None, found):
                    store.fetch(stored, temporary / stored.key.removeprefix(prefix))
                return temporary
    except StoreError as error:
        raise FatalError(Reason.STORAGE_UNAVAILABLE, f"{store.uri} cannot be read: {error}") from error
    what = f"it has no {runfolder.MODEL_CONFIG}; give the model/ folder of a run folder"
    raise FatalError(Reason.BAD_MODEL, f"{store.uri} is not a model: {what}")


def _find(store: Store, key: str) -> StoredObject | None:
    return next((stored for stored in store.list(key) if stored.key == key), None)
