"""The supervisor and datasets without dataset.json: it recognises them before it pulls any image."""

import json
from pathlib import Path

import pytest

from headrace_api.names import ExitCode, Reason
from headrace_testing.fake_s3 import fake_s3
from headrace_testing.stand_in_runs import Attempt, job_document, write_files

CLASSES = {f"images/{name}/{number}.jpg": b"no image, and nobody looks" for name in ("cat", "dog") for number in range(4)}
HEAD = {"name": "kind", "annotations": "classes", "multiclassClassification": {}}
MANIFEST = {
    "version": 1,
    "images": "images",
    "layers": [
        {"name": "classes", "task": "multiclass-classification", "format": "image-folder", "splits": {"all": "images"}},
    ],
}


def job_of(head: dict[str, object]) -> dict[str, object]:
    job = job_document()
    job["spec"]["model"] = {"heads": [head]}
    return job


def manifest_in(log: str) -> dict[str, object]:
    """The line for the user to copy."""
    (line,) = (line for line in log.splitlines() if '"version":1' in line)
    content: dict[str, object] = json.loads(line[line.index("{") :])
    return content


def test_a_local_folder_is_recognised_and_its_manifest_logged(tmp_path: Path) -> None:
    dataset = write_files(tmp_path / "dataset", CLASSES)
    with Attempt(tmp_path / "a", job_of(HEAD), dataset=str(dataset), output=str(tmp_path / "o")) as attempt:
        assert attempt.until_over() is ExitCode.OK
    assert manifest_in(attempt.log) == MANIFEST
    assert "head 'kind' learns from layer 'classes': multiclass classification" in attempt.log
    assert not (dataset / "dataset.json").exists(), "a dataset must not be written to"


def test_a_stored_dataset_is_recognised_before_an_image_is_pulled(tmp_path: Path) -> None:
    job = job_of(HEAD | {"annotations": "colours"})
    with fake_s3() as s3:
        s3.objects = {f"none/{key}": content for key, content in CLASSES.items()} | {"none/readme.txt": b"cats"}
        with Attempt(tmp_path / "a", job, environment=s3.environment(), output=str(tmp_path / "o")) as attempt:
            assert attempt.until_over() is ExitCode.FATAL
        assert attempt.outcome.reason is Reason.NO_SUCH_LAYER
        assert "its layers are: 'classes' (multiclass classification)" in attempt.outcome.message
        assert manifest_in(attempt.log) == MANIFEST
        assert "GET none/readme.txt" in s3.requests
        assert not any(request.endswith(".jpg") for request in s3.requests)

        with Attempt(tmp_path / "b", job_of(HEAD), environment=s3.environment(), output=str(tmp_path / "o")) as attempt:
            assert attempt.until_over() is ExitCode.OK
        assert s3.requests.count("GET none/readme.txt") == 2, "once per attempt"


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ({}, "s3://none/none/ has no dataset.json or any other file: check the URI"),
        ({"none/readme.txt": b""}, "no image in the dataset: check its location; it has: readme.txt"),
        ({"none/1.jpg": b"", "none/a.csv": b"image,label", "none/b.csv": b"x"}, "the table a.csv; the table b.csv"),
    ],
)
def test_what_cannot_be_recognised_ends_the_job_and_says_what_was_seen(
    tmp_path: Path, objects: dict[str, bytes], said: str
) -> None:
    with fake_s3() as s3:
        s3.objects = objects
        with Attempt(tmp_path / "a", job_of(HEAD), environment=s3.environment(), output=str(tmp_path / "o")) as attempt:
            assert attempt.until_over() is ExitCode.FATAL
    assert attempt.outcome.reason is Reason.BAD_DATASET
    assert said in attempt.outcome.message
    assert attempt.wiped
