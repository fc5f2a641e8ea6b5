"""Recognises a dataset without dataset.json before its images are pulled, from its annotation files."""

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
"""Annotation files to read; for others, the names are enough."""


def recognise_local(folder: Path) -> "Recognised":
    """Recognise a dataset in a local folder. Raises FatalError(BAD_DATASET)."""
    # Imported late: most datasets have a dataset.json, and importing numpy takes as long as the rest of the supervisor.
    from headrace_trainer.data.files import walk
    from headrace_trainer.data.recognise import recognise

    return recognise(folder, walk(folder))


def recognise_stored(pull: Pull, check: Callable[[Sequence[StoredObject]], None]) -> "Recognised":
    """Recognise a dataset in object storage: `pull` fetches the files to read, which stay for the full pull later.

    Calls `check` first to make sure there is space. Raises FatalError(BAD_DATASET), also if there are no objects, and
    RetryableError if the store stays unavailable.
    """
    from headrace_trainer.data.recognise import recognise

    store = pull.store
    objects = pull.retry.call("listing the dataset", lambda: store.list(cancelled=lambda: pull.retry.stop.requested))
    if not objects:
        raise FatalError(Reason.BAD_DATASET, f"{store.uri} has no {MANIFEST} or any other file: check the URI")
    wanted = [one for one in objects if posixpath.splitext(one.key)[1].lower() in READ_TO_RECOGNISE]
    check(wanted)
    pull.run(wanted)
    return recognise(pull.target, (one.key for one in objects))
