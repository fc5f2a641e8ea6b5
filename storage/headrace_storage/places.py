"""From a URI or a path to the store behind it."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_storage.folder import FolderStore
from headrace_storage.s3 import S3Store
from headrace_storage.store import Store


def local_path(uri: str) -> Path | None:
    """The folder that `uri` names, or None if it is in object storage."""
    return None if "://" in uri else Path(uri)


def lies_in(inner: str, outer: str) -> bool:
    """Whether the URI or path `inner` is `outer` or inside it."""
    folders = local_path(inner), local_path(outer)
    if folders[0] is not None and folders[1] is not None:
        return folders[0].resolve().is_relative_to(folders[1].resolve())
    return f"{inner.rstrip('/')}/".startswith(f"{outer.rstrip('/')}/")


def open_store(uri: str, environment: Mapping[str, str], connections: int = 32, *, blamed: Reason = Reason.BAD_DATASET) -> Store:
    """The store at `uri`: s3://bucket/prefix/ or a path. This sends no request yet. `blamed` is FolderStore's.

    Raises FatalError(STORAGE_REFUSED) if keys are not set or `uri` is not the URI of a store.
    """
    if (path := local_path(uri)) is not None:
        return FolderStore(path, blamed)
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise FatalError(Reason.STORAGE_REFUSED, f"{uri!r} is neither s3://bucket/prefix/ nor the path of a folder")
    # Not parts.path: "?" and "#" are ordinary characters of an object's name.
    prefix = uri.removeprefix(f"s3://{parts.netloc}").strip("/")
    return S3Store(parts.netloc, f"{prefix}/" if prefix else "", environment, connections)
