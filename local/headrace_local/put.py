"""Uploads a folder to object storage, file by file, as `aws s3 sync` does, for people without an S3 client."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minio import Minio

CONNECTIONS = 16


def put_folder(store: "Minio", folder: Path, uri: str) -> int:
    """Uploads every file below `folder` to `uri` (s3://bucket/prefix/); returns how many.

    Raises:
        ValueError: `uri` has another form.
        FileNotFoundError: there is no file below `folder`.
        minio.error.S3Error: the storage refuses one.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ValueError(f"{uri!r} is not the URI of a folder in object storage; write it as s3://bucket/prefix/")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if not files:
        raise FileNotFoundError(f"there are no files below {folder}")
    keys = [f"{prefix.rstrip('/')}/{path.relative_to(folder).as_posix()}".lstrip("/") for path in files]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(lambda key, path: store.fput_object(bucket, key, str(path)), keys, files):
            pass
    return len(files)
