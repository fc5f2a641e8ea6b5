"""Where a job's data is: where the command line says, else where the job says."""

from pathlib import Path
from typing import Any

import pytest

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.trainingjob import TrainingJob, parse_job
from headrace_trainer.supervisor.places import Places
from headrace_trainer.supervisor.settings import Settings

SPEC = {"project": "p", "dataset": {"uri": "s3://data/street/"}, "output": {"uri": "s3://runs/"}}
WEIGHTS = {"model": {"initialWeights": {"uri": "s3://runs/earlier/"}}}


def job(**spec: Any) -> TrainingJob:
    return parse_job({"metadata": {"name": "j", "namespace": "ns", "uid": "0123456789"}, "spec": SPEC | spec})


def settings(tmp_path: Path, **fields: Any) -> Settings:
    return Settings(job_file=tmp_path / "job.json", workspace=tmp_path / "workspace", environment={}, **fields)


def test_the_job_names_its_places(tmp_path: Path) -> None:
    places = Places.of(job(**WEIGHTS), settings(tmp_path))
    assert (places.dataset, places.dataset_folder) == ("s3://data/street/", None)
    assert places.run_folder == "s3://runs/ns/p/j-01234567/"
    assert places.initial_weights == "s3://runs/earlier/"


def test_the_command_line_has_the_last_word(tmp_path: Path) -> None:
    given = settings(tmp_path, dataset=f"{tmp_path}/data", output=f"{tmp_path}/runs", initial_weights=f"{tmp_path}/model")
    places = Places.of(job(**WEIGHTS), given)
    assert places.dataset_folder == tmp_path / "data"
    assert places.run_folder == f"{tmp_path}/runs/ns/p/j-01234567/"
    assert places.initial_weights == f"{tmp_path}/model"


def test_without_initial_weights_they_have_no_place(tmp_path: Path) -> None:
    assert Places.of(job(), settings(tmp_path)).initial_weights is None


def test_a_job_without_an_output_has_nowhere_to_go(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"names no output, and the operator has no default: set spec\.output\.uri") as error:
        Places.of(job(output=None), settings(tmp_path))
    assert error.value.reason is Reason.MISSING_STORAGE


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dataset": "workspace/data"}, "the dataset .*/workspace/data is inside the workspace .*, which is wiped"),
        ({"output": "workspace"}, "the output .*/workspace/ns/p/j-01234567 is inside the workspace"),
        ({"initial_weights": "workspace/model"}, "the initial weights .*/workspace/model is inside the workspace"),
        ({"dataset": "."}, "the workspace .*/workspace is inside the dataset"),
        ({"dataset": "data", "output": "data/runs"}, "the output .* is inside the dataset .*/data, which is read-only"),
    ],
)
def test_no_place_may_be_inside_one_that_is_wiped_or_only_read(tmp_path: Path, given: dict[str, str], said: str) -> None:
    paths = {name: str(tmp_path / place) for name, place in given.items()}
    with pytest.raises(FatalError, match=said) as error:
        Places.of(job(), settings(tmp_path, **paths))
    assert error.value.reason is Reason.INVALID_SPEC
