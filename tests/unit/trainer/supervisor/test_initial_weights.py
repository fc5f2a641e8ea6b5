"""Initial weights: found before anything is pulled, fetched completely, or read in place if they are on this machine."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace_api.errors import FatalError
from headrace_api.names import STORAGE_ENV, Reason
from headrace_storage.retry import Retry
from headrace_storage.stop import Stop
from headrace_testing.fake_s3 import FakeS3, fake_s3
from headrace_trainer.supervisor.initial_weights import environment_for_weights, find_weights
from headrace_trainer.supervisor.worker_process import worker_environment

MODEL = {"runs/a/model/model.safetensors": b"weights", "runs/a/model/config.json": b"{}", "runs/a/model/metrics.json": b"{}"}


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as fake:
        fake.objects = {**MODEL, "zoo/resnet18.safetensors": b"r18", "zoo/resnet18.safetensors.txt": b"about it"}
        yield fake


@pytest.fixture
def retry() -> Iterator[Retry]:
    stop = Stop()
    yield Retry(0, stop, lambda _: None, time.monotonic)
    stop.close()


@pytest.mark.parametrize("uri", ["s3://bucket/runs/a/model/", "s3://bucket/runs/a/model"])
def test_only_the_needed_files_of_a_model_folder_are_pulled(tmp_path: Path, s3: FakeS3, retry: Retry, uri: str) -> None:
    found = find_weights(uri, s3.environment(), retry)
    assert not [request for request in s3.requests if request.endswith((".safetensors", ".json"))], "only listed so far"
    (tmp_path / "weights").mkdir()
    (tmp_path / "partial").mkdir()
    assert found.bring_in(tmp_path / "weights", tmp_path / "partial", retry) == tmp_path / "weights"
    assert {path.name: path.read_bytes() for path in (tmp_path / "weights").iterdir()} == {
        "model.safetensors": b"weights",
        "config.json": b"{}",
    }


@pytest.mark.parametrize("uri", ["s3://bucket/runs/a/", "s3://bucket/runs/a"])
def test_a_run_folder_stands_for_its_model(tmp_path: Path, s3: FakeS3, retry: Retry, uri: str) -> None:
    """Just as for `headrace predict`."""
    found = find_weights(uri, s3.environment(), retry)
    (tmp_path / "weights").mkdir()
    (tmp_path / "partial").mkdir()
    assert (found.bring_in(tmp_path / "weights", tmp_path / "partial", retry) / "model.safetensors").read_bytes() == b"weights"
    model = tmp_path / "runs/a/model"
    model.mkdir(parents=True)
    for name in ("model.safetensors", "config.json"):
        (model / name).touch()
    here = find_weights(str(model.parent), {}, retry)
    assert here.bring_in(tmp_path, tmp_path, retry) == model


def test_of_a_file_only_itself_is_pulled(tmp_path: Path, s3: FakeS3, retry: Retry) -> None:
    found = find_weights("s3://bucket/zoo/resnet18.safetensors", s3.environment(), retry)
    (tmp_path / "partial").mkdir()
    assert found.bring_in(tmp_path / "weights", tmp_path / "partial", retry) == tmp_path / "weights/resnet18.safetensors"
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["resnet18.safetensors"]
    assert (tmp_path / "weights/resnet18.safetensors").read_bytes() == b"r18"


def test_local_weights_are_read_in_place(tmp_path: Path, retry: Retry) -> None:
    for key, content in MODEL.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(content)
    (tmp_path / "r18.pth").write_bytes(b"r18")
    for place in (tmp_path / "runs/a/model", tmp_path / "r18.pth"):
        found = find_weights(str(place), {}, retry)
        assert found.objects == ()
        assert found.bring_in(tmp_path / "weights", tmp_path / "partial", retry) == place
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize(
    ("uri", "lacking"),
    [
        ("s3://bucket/runs/b/model/", "model.safetensors"),
        ("s3://bucket/runs/", "model.safetensors"),
        ("s3://bucket/zoo/resnet50.safetensors", "resnet50.safetensors"),
        ("s3://bucket/zoo/resnet18.safetensor", "model.safetensors"),
        ("nowhere/model/", "model.safetensors"),
        ("nowhere.pth", "nowhere.pth"),
    ],
)
def test_missing_weights_are_refused(s3: FakeS3, retry: Retry, uri: str, lacking: str) -> None:
    with pytest.raises(FatalError) as caught:
        find_weights(uri, s3.environment(), retry)
    assert caught.value.reason is Reason.BAD_MODEL
    assert caught.value.message.startswith(
        f"model.initialWeights: {uri} does not exist or has no {lacking}: give an earlier job's run folder"
    )


def test_their_own_storage_settings_replace_all_of_the_datasets() -> None:
    datasets = dict.fromkeys(STORAGE_ENV, "the dataset's") | {"HOME": "/home"}
    assert environment_for_weights(datasets) == datasets
    own = {f"HEADRACE_INITIAL_WEIGHTS_{name}": "their own" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    environment = environment_for_weights(datasets | own)
    assert environment["AWS_ACCESS_KEY_ID"] == environment["AWS_SECRET_ACCESS_KEY"] == "their own"
    assert "AWS_ENDPOINT_URL" not in environment, "AWS's own endpoint is meant, not the dataset's"
    assert environment["HOME"] == "/home"


def test_the_worker_gets_neither_set_of_keys(tmp_path: Path) -> None:
    secrets = dict.fromkeys(STORAGE_ENV, "secret") | {f"HEADRACE_INITIAL_WEIGHTS_{name}": "secret" for name in STORAGE_ENV}
    assert "secret" not in worker_environment(secrets, tmp_path, 1).values()
