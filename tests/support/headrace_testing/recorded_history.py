"""Records what a watcher of a real API server sees of jobs and pods, for the invariant checker."""

import contextlib
import threading
from types import TracebackType
from typing import Any

import urllib3
from kubernetes import client, watch

from headrace_api import names
from headrace_local.access import ClusterAccess
from headrace_testing.invariants import Checker
from headrace_testing.typed_client import typed_client

Json = dict[str, Any]


class RecordedHistory:
    """Watches a namespace while it is open; `check` then goes through the changes in the server's order."""

    def __init__(self, cluster: ClusterAccess, namespace: str) -> None:
        self.namespace = namespace
        self.changes: list[tuple[int, str, Json, bool]] = []
        """resourceVersion, kind, object, whether it is deleted."""
        self._api = typed_client(cluster)
        jobs, pods = client.CustomObjectsApi(self._api), client.CoreV1Api(self._api)
        self._watches = [watch.Watch(), watch.Watch()]
        of_jobs = (jobs.list_namespaced_custom_object, names.GROUP, names.VERSION, namespace, names.PLURAL)
        self._threads = [
            threading.Thread(target=self._record, args=(self._watches[0], names.KIND, *of_jobs), daemon=True),
            threading.Thread(target=self._record, args=(self._watches[1], "Pod", pods.list_namespaced_pod, namespace), daemon=True),
        ]

    def __enter__(self) -> "RecordedHistory":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for stream in self._watches:
            stream.stop()

    def _record(self, stream: watch.Watch, kind: str, *listing: Any) -> None:
        function, *where = listing
        with contextlib.suppress(urllib3.exceptions.ProtocolError):  # the shared cluster may end before the stream does
            for event in stream.stream(function, *where, timeout_seconds=120):
                raw = event["raw_object"]
                self.changes.append((int(raw["metadata"]["resourceVersion"]), kind, raw, event["type"] == "DELETED"))

    def check(self) -> Checker:
        """
        Raises:
            InvariantBrokenError: at the first change that breaks one.
        """
        checker = Checker()
        made: dict[str, int] = {}
        for version, kind, raw, gone in sorted(self.changes, key=lambda change: change[0]):
            # Whoever ungated a pod had listed the jobs before it made the pod.
            decided = made.setdefault(raw["metadata"]["uid"], version)
            checker.see(kind, raw, gone, at=version, decided=decided)
        return checker
