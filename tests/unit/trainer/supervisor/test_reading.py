"""What the trainer says about a job that it cannot read."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace_api import names
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.supervisor.ending import Ending
from headrace_trainer.supervisor.reading import read_job

IN_A_POD = {names.ENV_IMAGE: "registry.example/trainer:1", names.ENV_OPERATOR_RELEASE: "97.0.1"}
THIS = f"this trainer image (registry.example/trainer:1, Headrace {names.RELEASE})"


def job(tmp_path: Path, **fields: Any) -> Path:
    file = tmp_path / "job.json"
    spec = {"project": "p", "dataset": {"uri": "s3://data/"}} | fields
    file.write_text(json.dumps({"metadata": {"name": "a", "namespace": "ns", "uid": "1"}, "spec": spec}))
    return file


def refused(file: Path, environment: dict[str, str]) -> str:
    with pytest.raises(FatalError) as error:
        read_job(file, environment)
    assert error.value.reason is Reason.INVALID_SPEC
    assert Ending.from_error(error.value).exit_code is names.ExitCode.FATAL
    return error.value.message


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    read = read_job(job(tmp_path), IN_A_POD)
    assert read.spec.model.neck is not None
    assert read.spec.backoff_limit == 3


def test_a_field_of_a_newer_release_is_named_with_the_image_that_does_not_know_it(tmp_path: Path) -> None:
    assert refused(job(tmp_path, training={"newField": 1}), IN_A_POD) == (
        f"{THIS} does not know spec.training.newField: "
        "use an image of at least the operator's version (97.0.1), or remove the field"
    )


def test_all_such_fields_are_named_along_with_other_errors(tmp_path: Path) -> None:
    said = refused(job(tmp_path, training={"newField": 1, "batchSize": "many"}, other={}), IN_A_POD)
    assert f"{THIS} does not know spec.training.newField, spec.other: use " in said
    assert ", or remove the fields; the job is not valid: spec.training.batchSize: should be" in said


def test_a_value_of_a_newer_release_is_reported_as_such(tmp_path: Path) -> None:
    said = refused(job(tmp_path, training={"sampler": "newest"}), IN_A_POD)
    assert said.startswith("the job is not valid: spec.training.sampler: should be")
    assert said.endswith(f"; {THIS} has another version than the operator (97.0.1), which accepted the job: use the same version")


def test_equal_versions_are_not_mentioned(tmp_path: Path) -> None:
    environment = IN_A_POD | {names.ENV_OPERATOR_RELEASE: names.RELEASE}
    assert "version" not in refused(job(tmp_path, training={"sampler": "newest"}), environment)


def test_without_an_operator_no_image_is_mentioned(tmp_path: Path) -> None:
    assert refused(job(tmp_path, newField=1), {}) == (
        f"this trainer (Headrace {names.RELEASE}) does not know spec.newField: use a newer trainer, or remove the field"
    )
