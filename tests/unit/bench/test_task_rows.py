"""The rows of `make bench-tasks`: all of them can run, and the page shows what was measured."""

import dataclasses
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from tasks.all_rows import ROWS
from tasks.baselines import score_baselines
from tasks.datasets import DigitScenes
from tasks.digits import LOSS_WEIGHTS, SEEDS, SEMI, TASKS, name_of_alone, name_of_joint
from tasks.page import page
from tasks.rows import Data, Row
from tasks.run import dataset_folder, job_of

from headrace_api.tasks import Task
from headrace_api.trainingjob import TrainingJob

RESULTS = Path(__file__).parents[3] / "docs/results.md"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_a_job(row: Row) -> None:
    TrainingJob.model_validate(job_of(row))


def test_no_two_rows_share_a_name_or_a_definition() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert len({row.digest for row in ROWS}) == len(ROWS)


def test_every_task_has_its_own_row() -> None:
    assert {row.name for row in TASKS} == {f"digits/{task.value}" for task in Task}
    for row in TASKS:
        job = TrainingJob.model_validate(job_of(row))
        assert [f"digits/{head.task.value}" for head in job.spec.model.heads] == [row.name]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_joint_row_differs_from_those_alone_in_its_heads_only(seed: int) -> None:
    by_name = {row.name: row for row in ROWS}
    joint = by_name[name_of_joint(seed)]
    assert joint.training["seed"] == seed
    for loss_weights in LOSS_WEIGHTS:
        other = by_name[name_of_joint(seed, loss_weights)]
        assert (other.training, other.data) == (joint.training, joint.data)
        same_weights = [{name: value for name, value in one.items() if name != "weight"} for one in other.model["heads"]]
        assert {**other.model, "heads": same_weights, "lossWeights": None} == {**joint.model, "lossWeights": None}
    for head in joint.model["heads"]:
        alone = by_name[name_of_alone(head["name"], seed)]
        assert {**joint.model, "heads": [{**head, "name": "head"}]} == alone.model
        assert (joint.training, joint.data) == (alone.training, alone.data)


def test_rows_with_few_labels_differ_in_seed_second_head_batch_size_and_iterations_only() -> None:
    differ = {"seed": 0, "batchSize": 0, "maxIterations": 0}
    for row in SEMI:
        assert {**row.model, "heads": None} == {**SEMI[0].model, "heads": None}
        assert row.model["heads"][0] == SEMI[0].model["heads"][0]
        assert row.training | differ == SEMI[0].training | differ


class SlowData(Data):
    """Written once everyone who makes it at the same time has begun."""

    kind = "slow"

    def __init__(self, makers: int) -> None:
        self.together = threading.Barrier(makers)

    def definition(self) -> dict[str, int]:
        return {}

    def missing(self) -> None:
        return None

    def write(self, folder: Path) -> None:
        self.together.wait(timeout=20)
        (folder / "image").write_text("pixels")


def test_rows_that_run_at_once_may_make_the_same_dataset(tmp_path: Path) -> None:
    data = SlowData(makers=3)
    with ThreadPoolExecutor(3) as pool:
        folders = list(pool.map(lambda _: dataset_folder(data, tmp_path), range(3)))
    assert len(set(folders)) == 1
    assert (folders[0] / "image").read_text() == "pixels"
    assert list(folders[0].parent.iterdir()) == [folders[0]], "a half-made dataset is left"


def test_the_page_is_made_from_the_measured_results() -> None:
    assert RESULTS.read_text() == page(), "docs/results.md is stale: make bench-tasks ARGS=--render"


@pytest.mark.parametrize("row", TASKS, ids=lambda row: row.name)
def test_the_simplest_answer_is_scored_by_the_heads_own_metric(row: Row, tmp_path: Path) -> None:
    assert isinstance(row.data, DigitScenes)
    dataclasses.replace(row.data, train=24, val=12).write(tmp_path / "data")
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job_of(row)))
    (baseline,) = score_baselines(tmp_path / "job.yaml", tmp_path / "data").values()
    assert baseline["scores"]
    assert all(math.isfinite(value) for value in baseline["scores"].values()), baseline
