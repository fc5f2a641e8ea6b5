"""The store in S3, against a scripted server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace_api.errors import FatalError
from headrace_storage.s3 import S3Store
from headrace_storage.stop import StoppedError
from headrace_storage.store import StoredObject, UnavailableError
from headrace_testing.fake_s3 import FakeS3, fake_s3


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as fake:
        yield fake


def test_a_listing_spans_pages(s3: FakeS3) -> None:
    s3.objects, s3.page_size = {f"{i}.jpg": b"x" for i in range(7)}, 3
    assert [one.key for one in S3Store("bucket", "", s3.environment()).list()] == [f"{i}.jpg" for i in range(7)]
    assert len(s3.requests) == 3


def test_a_stop_ends_a_listing_at_the_page_it_is_at(s3: FakeS3) -> None:
    s3.objects, s3.page_size = {f"{i}.jpg": b"x" for i in range(7)}, 1
    with pytest.raises(StoppedError):
        S3Store("bucket", "", s3.environment()).list(cancelled=lambda: len(s3.requests) == 2)
    assert len(s3.requests) == 2


def test_a_stop_ends_a_fetch_at_the_chunk_it_is_at(s3: FakeS3, tmp_path: Path) -> None:
    """On a slow line a chunk is whatever has arrived: waiting for a quarter of a megabyte would take ten minutes here."""
    s3.objects = {"big": b"x" * 300_000}
    s3.slow_gets = {"big"}
    target = tmp_path / "big"
    with pytest.raises(StoppedError):
        S3Store("bucket", "", s3.environment()).fetch(StoredObject("big", 300_000), target, target.exists)


@pytest.mark.parametrize("body", [b"", b"<Error><Code>Slow", b"busy, come back later", b"\xff\xfe", b"<html></html>", b"<a/>"])
@pytest.mark.parametrize("status", [200, 500, 503])
def test_an_answer_that_cannot_be_read_may_be_retried(s3: FakeS3, status: int, body: bytes) -> None:
    s3.errors, s3.error_body, s3.keep_failing = [(status, "Any")], body, True
    store = S3Store("bucket", "", s3.environment())
    if status == 200 and body in {b"<html></html>", b"<a/>"}:
        pytest.skip("XML without an entry is an empty listing to the client library")
    with pytest.raises(UnavailableError):
        store.list()
    if status != 200:
        with pytest.raises(UnavailableError):
            store.read("key")
        with pytest.raises(UnavailableError):
            store.write("key", b"x")


@pytest.mark.parametrize(("bucket", "prefix"), [("Not_A..Bucket", ""), ("bucket", "up/../here/"), ("bucket", "./")])
def test_a_name_that_cannot_exist_is_refused_before_any_request(s3: FakeS3, bucket: str, prefix: str) -> None:
    with pytest.raises(FatalError) as error:
        S3Store(bucket, prefix, s3.environment())
    assert error.value.message.startswith(f"s3://{bucket}/{prefix}: ")
    assert s3.requests == []
