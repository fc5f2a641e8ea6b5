"""Puts a folder into object storage, file by file: what `aws s3 sync` does, for people who have no S3 client at hand."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minio import Minio

CONNECTIONS = 16


def put_folder(store: "Minio", folder: Path, uri: str) -> int:
    """Uploads every file below `folder` to `uri` (s3://bucket/prefix/); returns how many.

    Raises:
        ValueError: `uri` is not of that form.
        FileNotFoundError: there is no file below `folder`.
        minio.error.S3Error: the storage refuses one.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise ValueError(f"{uri} is no place in object storage: s3://bucket/prefix/ is meant")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if not files:
        raise FileNotFoundError(f"no file below {folder}")
    keys = [f"{prefix.rstrip('/')}/{path.relative_to(folder).as_posix()}".lstrip("/") for path in files]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(lambda key, path: store.fput_object(bucket, key, str(path)), keys, files):
            pass
    return len(files)
