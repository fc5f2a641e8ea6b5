"""The supervisor and its object storage: a real S3 server, one that lies, and one that goes away."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace_api.names import ExitCode, Reason
from headrace_api.report import Phase, Verdict
from headrace_runs.run_folder import RunFolder
from headrace_storage.places import open_store
from headrace_testing.clusters import Storage
from headrace_testing.fake_s3 import FakeS3, fake_s3
from headrace_testing.faulty_proxy import faulty_proxy
from headrace_testing.stand_in_runs import RUN_FOLDER, Attempt, dataset_files, job_document, write_files
from headrace_testing.stand_in_worker import Behaviour


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as fake:
        yield fake


def job_in(storage: Storage, **training: object) -> dict[str, object]:
    """A job with its dataset in `storage` and its output there too."""
    dataset = open_store(storage.uri("dataset"), storage.environment)
    for key, content in dataset_files(40).items():
        dataset.write(key, content)
    return job_document(dataset=storage.uri("dataset/"), output=storage.uri("runs/"), **training)


def keys_in(storage: Storage, prefix: str) -> set[str]:
    return {one.key for one in open_store(storage.uri(prefix), storage.environment).list()}


def test_a_whole_job_from_s3_to_s3(tmp_path: Path, storage: Storage) -> None:
    job = job_in(storage)
    with Attempt(tmp_path / "a", job, environment=storage.environment) as attempt:
        assert attempt.until_over() is ExitCode.OK
    assert "pulling 42 files" in attempt.log
    keys = keys_in(storage, f"runs/{RUN_FOLDER}")
    assert keys >= {
        "job.json",
        "outcome.json",
        "attempts/1/log.txt",
        "attempts/1/metrics.jsonl",
        "run.json",
        "checkpoints/latest.json",
        "checkpoints/00000012/network.safetensors",
        "model/config.json",
        "pictures/00000006/boxes/0.jpg",
    }
    assert attempt.outcome.checkpoint is not None
    assert attempt.outcome.checkpoint.uri == storage.uri(f"runs/{RUN_FOLDER}checkpoints/00000012/")
    assert attempt.wiped


def test_results_inside_the_dataset_in_s3_are_refused_before_it_is_pulled(tmp_path: Path, storage: Storage) -> None:
    job = job_document(dataset=storage.uri("data/"), output=storage.uri("data/runs/"))
    with Attempt(tmp_path / "a", job, environment=storage.environment) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert f"is inside the dataset {storage.uri('data/')}" in attempt.log
    assert not keys_in(storage, "data/")


def test_another_machine_resumes_from_the_checkpoint_in_s3(tmp_path: Path, storage: Storage) -> None:
    job = job_in(storage)
    with Attempt(tmp_path / "a", job, Behaviour(at=6, trouble="killed"), environment=storage.environment) as first:
        assert first.until_over() is ExitCode.RETRY
    with Attempt(tmp_path / "b", job, environment=storage.environment, attempt=2) as second:
        assert second.until_over() is ExitCode.OK
    assert "worker: resumed at 4" in second.log
    assert {key.split("/")[1] for key in keys_in(storage, f"runs/{RUN_FOLDER}") if key.startswith("attempts/")} == {"1", "2"}


def test_only_a_fresh_start_begins_with_an_earlier_jobs_model(tmp_path: Path, storage: Storage) -> None:
    with Attempt(tmp_path / "a", job_in(storage), environment=storage.environment) as earlier:
        assert earlier.until_over() is ExitCode.OK
    model = open_store(storage.uri(f"runs/{RUN_FOLDER}model/"), storage.environment)
    model.write("model.safetensors", b"weights")  # the stand-in writes only a config.json

    job = job_document("later", storage.uri("dataset/"), storage.uri("runs/"))
    job["spec"]["model"] = {"initialWeights": {"uri": model.uri}}
    crash = Behaviour(at=6, trouble="crash")
    with Attempt(tmp_path / "b", job, crash, environment=storage.environment) as first:
        assert first.until_over() is ExitCode.RETRY
    assert f"starting from the weights at {model.uri}" in first.log
    assert f"worker: begins with {first.workspace}/weights: ['config.json', 'model.safetensors']" in first.log
    assert first.wiped

    # It continues from its own checkpoint, even if the weights are gone by then.
    model.remove(["model.safetensors"])
    with Attempt(tmp_path / "c", job, environment=storage.environment, attempt=2) as second:
        assert second.until_over() is ExitCode.OK
    assert "worker: resumed at 4" in second.log
    assert "begins with" not in second.log
    assert "starting from the weights" not in second.log


def test_initial_weights_that_are_not_there_end_the_job_before_the_dataset_is_pulled(tmp_path: Path, storage: Storage) -> None:
    job = job_in(storage)
    job["spec"]["model"] = {"initialWeights": {"uri": storage.uri("zoo/resnet18.safetensors")}}
    with Attempt(tmp_path / "a", job, environment=storage.environment) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert attempt.outcome.reason is Reason.BAD_MODEL
    assert "does not exist or has no resnet18.safetensors" in attempt.outcome.message
    assert "pulling" not in attempt.log


def test_a_missing_bucket_is_named(tmp_path: Path, storage: Storage) -> None:
    job = job_document(dataset="s3://no-such-bucket-anywhere/x/", output=storage.uri("runs/"))
    with Attempt(tmp_path / "a", job, environment=storage.environment) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert attempt.outcome.reason is Reason.STORAGE_REFUSED
    assert "bucket 'no-such-bucket-anywhere'" in attempt.outcome.message
    assert "there is no such bucket: create it, or correct the URI" in attempt.outcome.message
    assert attempt.wiped


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "check AWS_ACCESS_KEY_ID"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "check AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY is not set"),
        ({"AWS_ENDPOINT_URL": "storage.example.com"}, "an endpoint looks like https://"),
    ],
)
def test_wrong_keys_are_told_apart(tmp_path: Path, storage: Storage, wrong: dict[str, str], said: str) -> None:
    with Attempt(tmp_path / "a", job_in(storage), environment=storage.environment | wrong) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert attempt.outcome.reason is Reason.STORAGE_REFUSED
    assert said in attempt.outcome.message
    assert attempt.wiped


def test_storage_that_is_away_at_the_start_is_waited_for(tmp_path: Path, storage: Storage) -> None:
    job = job_in(storage)
    with faulty_proxy(storage.endpoint) as proxy:
        proxy.go_down()
        environment = storage.environment | {"AWS_ENDPOINT_URL": proxy.endpoint}
        with Attempt(tmp_path / "a", job, environment=environment) as attempt:
            attempt.until_log("trying again")
            proxy.come_back()
            assert attempt.until_over() is ExitCode.OK


def test_storage_that_stays_away_ends_the_attempt_with_the_cause(tmp_path: Path, storage: Storage) -> None:
    job = job_in(storage)
    with faulty_proxy(storage.endpoint) as proxy:
        proxy.go_down()
        environment = storage.environment | {"AWS_ENDPOINT_URL": proxy.endpoint}
        with Attempt(tmp_path / "a", job, environment=environment, storage_patience_seconds=1.0) as attempt:
            assert attempt.until_over() is ExitCode.RETRY
    assert attempt.outcome.reason is Reason.STORAGE_UNAVAILABLE
    assert "gave up after" in attempt.outcome.message
    assert proxy.endpoint in attempt.outcome.message
    assert attempt.wiped


def test_storage_that_goes_away_in_the_middle_does_not_stop_the_training(tmp_path: Path, storage: Storage) -> None:
    job = job_in(storage)
    gate = tmp_path / "gate"
    with faulty_proxy(storage.endpoint) as proxy:
        environment = storage.environment | {"AWS_ENDPOINT_URL": proxy.endpoint}
        with Attempt(tmp_path / "a", job, Behaviour(at=6, wait_for=gate), environment=environment) as attempt:
            attempt.until(lambda: attempt.status.checkpoint is not None, "a checkpoint")
            proxy.go_down()
            gate.touch()
            attempt.until_log("trying again")

            attempt.until(lambda: attempt.status.progress.iteration == 12, "the last iteration")
            proxy.come_back()
            assert attempt.until_over() is ExitCode.OK
    assert attempt.outcome.outcome is Verdict.DONE
    assert attempt.outcome.checkpoint is not None
    assert attempt.outcome.checkpoint.iteration == 12
    rows = RunFolder.open(storage.uri(f"runs/{RUN_FOLDER}"), storage.environment).metrics()
    assert [row.iteration for row in rows if row.name == "total"] == list(range(1, 13))


def test_storage_that_never_comes_back_ends_the_attempt_after_the_limit(tmp_path: Path, storage: Storage) -> None:
    job = job_in(storage, maxIterations=1_000_000)
    with faulty_proxy(storage.endpoint) as proxy:
        environment = storage.environment | {"AWS_ENDPOINT_URL": proxy.endpoint}
        behaviour = Behaviour(step_seconds=0.02)
        with Attempt(tmp_path / "a", job, behaviour, environment=environment, upload_patience_seconds=1.0) as attempt:
            attempt.until(lambda: attempt.status.checkpoint is not None, "a checkpoint")
            proxy.go_down()
            assert attempt.until_over() is ExitCode.RETRY
    assert attempt.outcome.reason is Reason.STORAGE_UNAVAILABLE
    assert attempt.outcome.checkpoint is not None
    assert attempt.wiped


def test_objects_that_arrive_cut_short_are_pulled_again(tmp_path: Path, storage: Storage) -> None:
    job = job_in(storage)
    with faulty_proxy(storage.endpoint) as proxy:
        environment = storage.environment | {"AWS_ENDPOINT_URL": proxy.endpoint}
        with Attempt(tmp_path / "a", job, environment=environment, pull_connections=4) as attempt:
            attempt.until_log("run folder")
            proxy.answer_bytes = 900  # per connection: a few objects, then one is cut
            attempt.until_log("the connection broke")
            proxy.answer_bytes = None
            assert attempt.until_over() is ExitCode.OK


def test_an_object_shorter_than_listed_is_named(tmp_path: Path, s3: FakeS3) -> None:
    s3.objects = {f"none/{key}": content for key, content in dataset_files().items()}
    s3.listed_sizes = {"none/images/00001.jpg": 5000}
    with Attempt(
        tmp_path / "a", job_document(), environment=s3.environment(), output=str(tmp_path / "o"), storage_patience_seconds=1.0
    ) as attempt:
        assert attempt.until_over() is ExitCode.RETRY
    assert attempt.outcome.reason is Reason.STORAGE_UNAVAILABLE
    assert "images/00001.jpg ended after 101 of 5,000 bytes" in attempt.outcome.message
    assert s3.requests.count("GET none/images/00001.jpg") > 1
    assert attempt.wiped


def test_an_object_with_another_checksum_is_named(tmp_path: Path, s3: FakeS3) -> None:
    s3.objects = {f"none/{key}": content for key, content in dataset_files().items()}
    s3.listed_etags = {"none/images/00001.jpg": "0" * 32}
    with Attempt(
        tmp_path / "a", job_document(), environment=s3.environment(), output=str(tmp_path / "o"), storage_patience_seconds=1.0
    ) as attempt:
        assert attempt.until_over() is ExitCode.RETRY
    assert "images/00001.jpg has the MD5" in attempt.outcome.message


@pytest.mark.parametrize(
    ("etag", "headers"), [("0" * 32 + "-7", {}), ("0" * 32, {"x-amz-server-side-encryption": "aws:kms"}), ("0x8DC", {})]
)
def test_an_etag_need_not_be_a_checksum(tmp_path: Path, s3: FakeS3, etag: str, headers: dict[str, str]) -> None:
    s3.objects = {f"none/{key}": content for key, content in dataset_files().items()}
    s3.listed_etags = {"none/images/00001.jpg": etag}
    s3.answer_headers = headers
    with Attempt(tmp_path / "a", job_document(), environment=s3.environment(), output=str(tmp_path / "o")) as attempt:
        assert attempt.until_over() is ExitCode.OK


@pytest.mark.parametrize(
    "key", ["../outside.jpg", "images/../../outside.jpg", "/etc/outside.jpg", "images//outside.jpg", "./outside.jpg"]
)
def test_a_key_that_leads_outside_ends_the_job_before_anything_is_pulled(tmp_path: Path, s3: FakeS3, key: str) -> None:
    s3.objects = {f"none/{key}": content for key, content in dataset_files().items()} | {f"none/{key}": b"evil"}
    before = set(tmp_path.rglob("*"))
    with Attempt(tmp_path / "a", job_document(), environment=s3.environment(), output=str(tmp_path / "o")) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert attempt.outcome.reason is Reason.BAD_DATASET
    assert repr(key) in attempt.outcome.message
    assert attempt.wiped
    assert not [path for path in set(tmp_path.rglob("*")) - before if "outside" in path.name]
    assert "GET none/images/00000.jpg" not in s3.requests


def test_an_object_that_is_also_a_folder_is_named(tmp_path: Path, s3: FakeS3) -> None:
    s3.objects = {f"none/{key}": content for key, content in dataset_files().items()} | {"none/images": b"a file"}
    with Attempt(tmp_path / "a", job_document(), environment=s3.environment(), output=str(tmp_path / "o")) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert "'images' is both a file and a folder" in attempt.outcome.message


def test_a_dataset_larger_than_the_disk_is_refused_before_the_first_byte(tmp_path: Path, s3: FakeS3) -> None:
    s3.objects = {f"none/{key}": content for key, content in dataset_files().items()}
    s3.listed_sizes = {"none/images/00001.jpg": 1 << 60}
    job = job_document()
    job["spec"]["resources"] = {"workspace": "9999999Ti"}
    with Attempt(tmp_path / "a", job, environment=s3.environment(), output=str(tmp_path / "o")) as attempt:
        assert attempt.until_over() is ExitCode.RETRY
    assert attempt.outcome.reason is Reason.DISK_FULL
    assert "the dataset needs 1048576.0 TiB of disk, but the workspace has" in attempt.outcome.message
    assert "GET none/images/00000.jpg" not in s3.requests


def test_a_dataset_larger_than_the_requested_workspace_will_never_fit(tmp_path: Path, s3: FakeS3) -> None:
    s3.objects = {f"none/{key}": content for key, content in dataset_files().items()}
    s3.listed_sizes = {"none/images/00001.jpg": 60 << 30}
    with Attempt(tmp_path / "a", job_document(), environment=s3.environment(), output=str(tmp_path / "o")) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert "spec.resources.workspace is 50.0 GiB: raise it" in attempt.outcome.message


def test_a_marker_is_written_only_after_its_files(tmp_path: Path, s3: FakeS3) -> None:
    dataset = write_files(tmp_path / "dataset", dataset_files())
    with Attempt(tmp_path / "a", job_document(), environment=s3.environment(), dataset=str(dataset), output="s3://runs") as attempt:
        assert attempt.until_over() is ExitCode.OK
    puts = [one.removeprefix("PUT ").removeprefix(RUN_FOLDER) for one in s3.requests if "PUT" in one]
    marker = puts.index("checkpoints/latest.json")
    first = next(one for one in puts if one.startswith("checkpoints/0"))
    assert puts.index(first) < marker
    assert {f"{first.rpartition('/')[0]}/{name}" for name in ("network.safetensors", "state.json")} <= set(puts[:marker])
    assert puts[-1] == "outcome.json"


def test_a_death_between_files_and_marker_leaves_the_earlier_checkpoint_the_latest(tmp_path: Path, s3: FakeS3) -> None:
    """The store as it is at such a moment: the files of 8, and a marker that still names 4."""
    dataset = write_files(tmp_path / "dataset", dataset_files())
    settings = {"environment": s3.environment(), "dataset": str(dataset), "output": "s3://runs"}
    with Attempt(tmp_path / "a", job_document(), Behaviour(at=5, trouble="killed"), **settings) as first:
        first.until_over()
    s3.objects[f"{RUN_FOLDER}checkpoints/00000008/network.safetensors"] = b"half of i"
    with Attempt(tmp_path / "b", job_document(), attempt=2, **settings) as second:
        assert second.until_over() is ExitCode.OK
    assert "worker: resumed at 4" in second.log
    assert not [key for key in s3.objects if "checkpoints/00000008" in key]


def test_a_checkpoint_that_is_being_uploaded_when_the_worker_fails_is_not_thrown_away(
    tmp_path: Path, s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_trainer.supervisor.ending._ERROR_SECONDS", 0.0)
    dataset = write_files(tmp_path / "dataset", dataset_files())
    file = f"{RUN_FOLDER}checkpoints/00000004/network.safetensors"
    arrive = s3.held_puts[file] = threading.Event()
    with Attempt(
        tmp_path / "a",
        job_document(),
        Behaviour(at=6, trouble="error"),
        environment=s3.environment(),
        dataset=str(dataset),
        output="s3://runs",
    ) as attempt:
        attempt.until_log("error: LossNotFinite")
        attempt.until(lambda: attempt.status.phase is Phase.ENDING, "the end")
        arrive.set()
        assert attempt.until_over() is ExitCode.FATAL
    assert attempt.outcome.checkpoint is not None
    assert attempt.outcome.checkpoint.iteration == 4
    assert f"{RUN_FOLDER}checkpoints/latest.json" in s3.objects


def test_keys_without_permission_to_delete_are_reported_once_and_stop_nothing(tmp_path: Path, s3: FakeS3) -> None:
    s3.refuse_deletes = True
    dataset = write_files(tmp_path / "dataset", dataset_files())
    with Attempt(
        tmp_path / "a",
        job_document(checkpointEvery=1),
        Behaviour(step_seconds=0.05),
        environment=s3.environment(),
        dataset=str(dataset),
        output="s3://runs",
        upload_patience_seconds=2.0,
    ) as attempt:
        assert attempt.until_over() is ExitCode.OK
    assert attempt.outcome.outcome is Verdict.DONE
    assert attempt.outcome.checkpoint is not None
    assert attempt.outcome.checkpoint.iteration == 12
    assert attempt.log.count("superseded checkpoints cannot be removed") == 1
    assert "access is denied" in attempt.log
    assert len({one for one in s3.requests if "DELETE" in one}) >= 1


def test_parts_of_killed_uploads_do_not_stay_in_the_store(tmp_path: Path, storage: Storage) -> None:
    job, client = job_in(storage), storage.client
    ours, others = (f"{prefix}checkpoints/00000004/network.safetensors" for prefix in (f"runs/{RUN_FOLDER}", "runs/another/"))
    for key in (ours, others):
        client._create_multipart_upload(storage.bucket, key, {})
    with Attempt(tmp_path / "a", job, environment=storage.environment) as attempt:
        assert attempt.until_over() is ExitCode.OK
    assert [one.object_name for one in client._list_multipart_uploads(storage.bucket).uploads] == [others]
