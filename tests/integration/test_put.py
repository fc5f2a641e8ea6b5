"""Putting a folder into object storage."""

from pathlib import Path

import pytest

from headrace_local.put import put_folder
from headrace_testing.clusters import Storage


def test_a_folder_is_put_with_everything_below_it(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "images" / "train").mkdir(parents=True)
    (tmp_path / "dataset.json").write_text("{}")
    (tmp_path / "images" / "train" / "a b.jpg").write_bytes(b"jpeg")
    assert put_folder(storage.client, tmp_path, storage.uri("street/")) == 2
    found = {item.object_name: item.size for item in storage.client.list_objects(storage.bucket, recursive=True)}
    assert found == {"street/dataset.json": 2, "street/images/train/a b.jpg": 4}


@pytest.mark.parametrize("uri", ["/street", "s3://"])
def test_a_uri_outside_object_storage_is_refused(storage: Storage, tmp_path: Path, uri: str) -> None:
    with pytest.raises(ValueError, match="write it as s3://bucket/prefix/"):
        put_folder(storage.client, tmp_path, uri)


def test_an_empty_folder_is_refused(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there are no files below"):
        put_folder(storage.client, tmp_path, storage.uri("street/"))
