"""A model in object storage is copied to local disk; one on disk is used where it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_testing.fake_s3 import FakeS3, fake_s3
from headrace_trainer.predict.fetch import model_folder

CONFIG, WEIGHTS = b"{}", b"weights"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeS3]:
    with fake_s3() as fake:
        for name, value in fake.environment().items():
            monkeypatch.setenv(name, value)
        yield fake


@pytest.mark.parametrize("place", ["s3://runs/job-1/model/", "s3://runs/job-1/model", "s3://runs/job-1/"])
def test_a_model_or_the_run_folder_around_it_is_copied(s3: FakeS3, tmp_path: Path, place: str) -> None:
    s3.objects = {
        "job-1/model/config.json": CONFIG,
        "job-1/model/model.safetensors": WEIGHTS,
        "job-1/checkpoints/00000001/network.safetensors": b"not this",
    }
    folder = model_folder(place, tmp_path)
    assert {path.name: path.read_bytes() for path in folder.rglob("*")} == {"config.json": CONFIG, "model.safetensors": WEIGHTS}


def test_a_folder_is_used_where_it_is(tmp_path: Path) -> None:
    assert model_folder("runs/model", tmp_path) == Path("runs/model")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model_is_reported(s3: FakeS3, tmp_path: Path) -> None:
    s3.objects = {"job-1/job.json": b"{}"}
    with pytest.raises(FatalError, match=r"s3://runs/job-1/ is not a model: it has no config\.json") as caught:
        model_folder("s3://runs/job-1", tmp_path)
    assert caught.value.reason is Reason.BAD_MODEL


def test_failing_storage_is_reported(s3: FakeS3, tmp_path: Path) -> None:
    s3.errors, s3.keep_failing = [(503, "SlowDown")], True
    with pytest.raises(FatalError, match="cannot be read") as caught:
        model_folder("s3://runs/job-1", tmp_path)
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
