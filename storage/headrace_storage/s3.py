"""A store in S3-compatible object storage, through the minio client."""

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_storage.stop import StoppedError
from headrace_storage.store import DamagedError, NotFoundError, StoredObject, UnavailableError, never
from headrace_storage.traffic import Traffic

AWS_ENDPOINT = "https://s3.amazonaws.com"
_CHUNK_BYTES = 1 << 18
_LEAST_PART_BYTES = 8 << 20
_MOST_PARTS = 10_000
"""S3 accepts no more parts of one upload."""
_MD5 = re.compile(r"[0-9a-f]{32}")

_REFUSALS = {
    "NoSuchBucket": "there is no such bucket: create it, or correct the URI",
    "InvalidAccessKeyId": "the access key is unknown there: check AWS_ACCESS_KEY_ID in the storage secret",
    "XAdminUserNotFound": "the access key is unknown there: check AWS_ACCESS_KEY_ID in the storage secret",  # versitygw's name
    "SignatureDoesNotMatch": "the secret key is wrong: check AWS_SECRET_ACCESS_KEY in the storage secret",
    "AccessDenied": "access is denied: the storage secret's keys need to list, read, write and delete there",
    "ExpiredToken": "the keys have expired: replace those in the storage secret",
    "InvalidToken": "the keys are not valid: check those in the storage secret",
    "AccountProblem": "the account has a problem: ask its provider",
    "AuthorizationHeaderMalformed": "the region is wrong: set AWS_REGION in the storage secret to the bucket's",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION in the storage secret to the bucket's",
    "RequestTimeTooSkewed": "the clock of this machine differs too much from the store's: set it",
    "InvalidBucketName": "that is not a valid bucket name: correct the URI",
    "MethodNotAllowed": "it does not answer as S3 does: check AWS_ENDPOINT_URL in the storage secret",
}
"""S3 errors that no retry fixes, and what to do about them."""


class S3Store:
    """Objects of `bucket` whose names start with `prefix` ("" or ending in "/")."""

    def __init__(self, bucket: str, prefix: str, environment: Mapping[str, str], connections: int = 32) -> None:
        # Imported late: minio takes longer to import than the rest of the supervisor to start.
        import minio
        from minio.helpers import check_bucket_name, check_object_name

        from headrace_storage.connections import connection_pools

        try:
            check_bucket_name(bucket, s3_check=True)
            check_object_name(f"{prefix}any")
        except ValueError as error:
            raise FatalError(Reason.STORAGE_REFUSED, f"s3://{bucket}/{prefix}: {error}") from error
        self.uri = f"s3://{bucket}/{prefix}"
        self._bucket, self._prefix = bucket, prefix
        self.traffic = Traffic()
        self._endpoint = environment.get("AWS_ENDPOINT_URL") or AWS_ENDPOINT
        address = urlsplit(self._endpoint)
        if address.scheme not in {"http", "https"} or not address.netloc or address.path.strip("/"):
            raise FatalError(
                Reason.STORAGE_REFUSED,
                f"AWS_ENDPOINT_URL is {self._endpoint!r}; an endpoint looks like https://s3.example.com or http://10.0.0.5:9000",
            )
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            if not environment.get(name):
                raise FatalError(Reason.STORAGE_REFUSED, f"{name} is not set; {self.uri} cannot be reached without it")
        self._client = minio.Minio(
            address.netloc,
            access_key=environment["AWS_ACCESS_KEY_ID"],
            secret_key=environment["AWS_SECRET_ACCESS_KEY"],
            session_token=environment.get("AWS_SESSION_TOKEN") or None,
            secure=address.scheme == "https",
            # Only AWS has buckets in several regions, which minio would look up.
            region=environment.get("AWS_REGION") or (None if self._endpoint == AWS_ENDPOINT else "us-east-1"),
            http_client=connection_pools(self.traffic, connections),
        )

    def folders(self, prefix: str = "") -> list[str]:
        inside = self._prefix + prefix
        with self._errors(prefix):
            found = [one.object_name for one in self._client.list_objects(self._bucket, prefix=inside) if one.is_dir]
        return sorted(name.removeprefix(inside).rstrip("/") for name in found)

    def list(self, prefix: str = "", cancelled: Callable[[], bool] = never) -> list[StoredObject]:
        found: list[Any] = []
        with self._errors(prefix):
            # Requests the next page of a thousand at the end of each.
            for one in self._client.list_objects(self._bucket, prefix=self._prefix + prefix, recursive=True):
                if cancelled():
                    raise StoppedError
                found.append(one)
        # A "folder" that a web console made is an empty object whose name ends in "/".
        return sorted(
            (
                StoredObject(one.object_name[len(self._prefix) :], one.size or 0, (one.etag or "").strip('"'))
                for one in found
                if not (one.object_name.endswith("/") and not one.size)
            ),
            key=lambda one: one.key,
        )

    def read(self, key: str, most: int | None = None) -> bytes:
        with self._errors(key), self._get(key, most or 0) as response:
            content: bytes = response.read()
            return content[:most]

    def fetch(self, stored: StoredObject, target: Path, cancelled: Callable[[], bool] = never) -> None:
        checksum = hashlib.md5(usedforsecurity=False)
        with target.open("xb") as file, self._errors(stored.key), self._get(stored.key) as response:
            # read1 returns what has arrived: on a slow line a whole chunk takes minutes, and we check `cancelled` between chunks.
            while chunk := response.read1(_CHUNK_BYTES):
                if cancelled():
                    raise StoppedError
                checksum.update(chunk)
                file.write(chunk)
            size = file.tell()
        if size != stored.size:
            raise DamagedError(f"{self.uri}{stored.key} ended after {size:,} of {stored.size:,} bytes")
        if _etag_is_md5(stored.etag, response.headers) and checksum.hexdigest() != stored.etag:
            raise DamagedError(f"{self.uri}{stored.key} has the MD5 {checksum.hexdigest()}, but {stored.etag} was listed")

    def write(self, key: str, content: bytes) -> None:
        with self._errors(key):
            self._client.put_object(self._bucket, self._prefix + key, io.BytesIO(content), len(content))

    def upload(self, key: str, source: Path) -> None:
        with source.open("rb") as file, self._errors(key):
            size = source.stat().st_size
            self._client.put_object(self._bucket, self._prefix + key, file, size, part_size=_part_bytes(size))

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            with self._errors(key):
                self._client.remove_object(self._bucket, self._prefix + key)

    def discard_unfinished(self) -> None:
        with self._errors("(unfinished uploads)"):
            # minio uses these requests itself but offers no public method for them.
            for one in self._client._list_multipart_uploads(self._bucket, prefix=self._prefix).uploads:
                self._client._abort_multipart_upload(self._bucket, one.object_name, one.upload_id or "")

    @contextmanager
    def _get(self, key: str, length: int = 0) -> Iterator[Any]:
        """The response to a GET of `length` bytes (0: all). Read it to its end; its connection then goes back to the pool."""
        response = self._client.get_object(self._bucket, self._prefix + key, length=length)
        try:
            yield response
        except BaseException:
            response.close()  # unread bytes would be taken for the next response
            raise
        finally:
            response.release_conn()

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Turns what minio and urllib3 raise into this program's errors."""
        import minio.error
        import urllib3.exceptions

        where = f"{self.uri}{key} at {self._endpoint}"
        try:
            yield
        except minio.error.S3Error as error:
            if error.code in {"NoSuchKey", "ResourceNotFound"}:
                raise NotFoundError(f"no object {self.uri}{key}") from error
            remedy = _REFUSALS.get(error.code or "")
            if remedy is None and error.response is not None and error.response.status in {401, 403}:
                remedy = _REFUSALS["AccessDenied"]
            if remedy:
                raise FatalError(Reason.STORAGE_REFUSED, f"bucket '{self._bucket}' ({where}): {remedy} ({error.code})") from error
            raise UnavailableError(f"{where}: {error.code}: {error.message}") from error
        except urllib3.exceptions.ProtocolError as error:
            raise UnavailableError(f"{where}: the connection broke: {error}") from error
        except (minio.error.MinioException, urllib3.exceptions.HTTPError) as error:
            raise UnavailableError(f"{where}: {error}") from error
        except (ValueError, SyntaxError) as error:
            # minio parses what the store answers, and lets through what its parsers raise: XML's ParseError is a SyntaxError.
            raise UnavailableError(f"{where}: the answer cannot be read: {error}") from error


def _etag_is_md5(etag: str, headers: Mapping[str, str]) -> bool:
    """Whether an ETag is the content's MD5: not for multipart uploads ("...-7") or encryption with a customer's key."""
    encryption = headers.get("x-amz-server-side-encryption", "AES256")
    by_customer = "x-amz-server-side-encryption-customer-algorithm" in headers
    return bool(_MD5.fullmatch(etag)) and encryption == "AES256" and not by_customer


def _part_bytes(size: int) -> int:
    """The size of an upload's parts: small, because a part that breaks off is lost, but few enough for S3."""
    return max(_LEAST_PART_BYTES, -(-size // _MOST_PARTS))
