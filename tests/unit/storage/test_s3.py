"""The store in S3, against a scripted server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace_storage.s3 import S3Store
from headrace_storage.stop import StoppedError
from headrace_storage.store import StoredObject
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
