"""One embedded cluster for a whole test run, whatever the number of pytest-xdist workers."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from headrace_local.access import ClusterAccess
from headrace_local.cluster import Cluster

Json = dict[str, Any]


@contextmanager
def shared_cluster(folder: Path) -> Iterator[ClusterAccess]:
    """The cluster in `folder`: the first worker starts it, and ends it once no worker uses it.

    Every user holds a shared lock, which the kernel releases even if a worker crashes.
    """
    folder.mkdir(exist_ok=True)
    owned: Cluster | None = None
    with (folder / "users").open("a") as users, (folder / "changes").open("a") as changes:
        with _locked(changes):
            if not (folder / "cluster" / "cluster.json").exists():
                owned = Cluster(folder=folder / "cluster").__enter__()
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            with ClusterAccess(folder / "cluster") as access:
                yield access
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)
            if owned is not None:
                _end_once_alone(owned, users, changes)


def _end_once_alone(cluster: Cluster, users: IO[str], changes: IO[str]) -> None:
    while True:
        with _locked(changes):  # no worker may join while this one checks that it is the last
            if _alone(users):
                cluster.__exit__(None, None, None)
                return
        time.sleep(0.1)


@contextmanager
def _locked(file: IO[str]) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _alone(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True)
class Storage:
    """A bucket on the cluster's S3 server for one test."""

    client: Any
    """A `minio.Minio`."""
    bucket: str
    endpoint: str
    environment: dict[str, str]
    """AWS_ENDPOINT_URL and the keys, under the names that S3 clients and storage secrets use."""

    def uri(self, path: str = "") -> str:
        return f"s3://{self.bucket}/{path}"

    def empty(self) -> None:
        """Removes the bucket with its contents."""
        for found in self.client.list_objects(self.bucket, recursive=True):
            self.client.remove_object(self.bucket, found.object_name)
        self.client.remove_bucket(self.bucket)
