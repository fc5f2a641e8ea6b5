"""What a dataset without dataset.json is, before an image of it is pulled: its annotation files come first."""

import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_api.dataset import MANIFEST
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_storage.pull import Pull
from headrace_storage.store import StoredObject

if TYPE_CHECKING:
    from headrace_trainer.data.recognise import Recognised

READ_TO_RECOGNISE = frozenset({".json", ".jsonl", ".csv", ".yaml", ".yml", ".txt"})
"""Of other annotation files the names are enough."""


def recognise_local(folder: Path) -> "Recognised":
    """A dataset in a local folder. Raises FatalError(BAD_DATASET)."""
    # Imported late: most datasets have a dataset.json, and numpy takes as long to import as all else of the supervisor.
    from headrace_trainer.data.files import walk
    from headrace_trainer.data.recognise import recognise

    return recognise(folder, walk(folder))


def recognise_stored(pull: Pull, check: Callable[[Sequence[StoredObject]], None]) -> "Recognised":
    """A dataset in object storage: `pull` gets what is read of it, to be there already when all of it is pulled.

    `check` is asked first whether there is space. Raises FatalError(BAD_DATASET) also where the store has nothing there, and
    RetryableError where it stays away.
    """
    from headrace_trainer.data.recognise import recognise

    store = pull.store
    objects = pull.retry.call("listing the dataset", lambda: store.list(cancelled=lambda: pull.retry.stop.requested))
    if not objects:
        raise FatalError(Reason.BAD_DATASET, f"{store.uri} has no {MANIFEST}, nor anything else: check the URI")
    wanted = [one for one in objects if posixpath.splitext(one.key)[1].lower() in READ_TO_RECOGNISE]
    check(wanted)
    pull.run(wanted)
    return recognise(pull.target, (one.key for one in objects))
