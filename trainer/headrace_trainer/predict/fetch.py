"""A model that lies in object storage, brought here. The only part that knows of the supervisor: of its stores."""

import os
from pathlib import Path

from headrace_api import runfolder
from headrace_api.names import Reason
from headrace_trainer.errors import FatalError
from headrace_trainer.supervisor.keys import path_for
from headrace_trainer.supervisor.places import local_path, open_store
from headrace_trainer.supervisor.store import StoreError


def model_folder(place: str, temporary: Path) -> Path:
    """The folder itself, or for s3://bucket/prefix/ a copy of it below `temporary`.

    Raises FatalError(BAD_MODEL) where there is none, (STORAGE_REFUSED) where the keys are not good.
    """
    if (folder := local_path(place)) is not None:
        return folder
    store = open_store(place, os.environ)
    try:
        objects = {stored.key: stored for stored in store.list()}
        prefix = next((p for p in ("", runfolder.MODEL) if p + runfolder.MODEL_CONFIG in objects), None)
        if prefix is None:
            raise FatalError(
                Reason.BAD_MODEL,
                f"{store.uri} is no model: it has no {runfolder.MODEL_CONFIG}; name the model/ folder of a run folder",
            )
        for name in (runfolder.MODEL_CONFIG, runfolder.MODEL_WEIGHTS):
            if (stored := objects.get(prefix + name)) is not None:
                target = path_for(temporary, name)
                store.fetch(stored, target)
    except StoreError as error:
        raise FatalError(Reason.STORAGE_UNAVAILABLE, f"{store.uri} cannot be read: {error}") from error
    return temporary
