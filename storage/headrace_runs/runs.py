"""All runs below an output's URI: <output>/<namespace>/<project>/<job>-<first 8 of the uid>/."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from headrace_api.errors import TrainerError
from headrace_runs.records import FoundRun, read_run, unread
from headrace_runs.run_folder import RunFolder
from headrace_storage.places import open_store
from headrace_storage.store import StoreError

S = TypeVar("S")
T = TypeVar("T")

_AT_ONCE = 32


class Runs:
    """The runs below one URI.

    Methods raise headrace_storage's errors if the store refuses to list or does not answer. A single run folder that cannot be read
    is returned as a run with a `trouble`.
    """

    def __init__(self, uri: str, environment: Mapping[str, str]) -> None:
        """`uri`: what jobs have in spec.output.uri. `environment` holds the storage keys (AWS_ACCESS_KEY_ID, …)."""
        self._uri, self._environment = uri.rstrip("/"), environment
        self._store = open_store(uri, environment, _AT_ONCE)

    def projects(self) -> list[tuple[str, str]]:
        """The namespaces and projects that have runs, sorted."""
        namespaces = self._store.folders()
        found = _at_once(lambda namespace: self._store.folders(f"{namespace}/"), namespaces)
        return [(namespace, project) for namespace, projects in zip(namespaces, found, strict=True) for project in projects]

    def of_project(self, namespace: str, project: str) -> list[FoundRun]:
        """The runs of a project, the newest first. One listing, and one small read for each run, many at once."""
        names = self._store.folders(f"{namespace}/{project}/")
        found = _at_once(lambda name: self._found(self.open(namespace, project, name)), names)
        return sorted(found, key=lambda one: (one.run.submitted or one.run.started or "", one.uri), reverse=True)

    def open(self, namespace: str, project: str, folder: str) -> RunFolder:
        """The run folder of this name."""
        return RunFolder.open(f"{self._uri}/{namespace}/{project}/{folder}/", self._environment)

    def _found(self, folder: RunFolder) -> FoundRun:
        try:
            return read_run(folder.store)
        except (StoreError, TrainerError, OSError) as error:
            return unread(folder.uri, error)


def _at_once(action: Callable[[S], T], items: Iterable[S]) -> list[T]:
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="runs") as pool:
        return list(pool.map(action, items))
