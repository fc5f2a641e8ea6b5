"""Every task has a description, and nothing else has."""

import pkgutil
import subprocess
import sys

import pytest

from headrace_api.dataset import FORMATS
from headrace_api.tasks import Task
from headrace_trainer import tasks
from headrace_trainer.tasks import describe
from headrace_trainer.tasks.description import TaskDescription

SHARED = {"description", "objects"}


def test_each_task_has_a_file_and_each_file_is_a_task() -> None:
    files = {module.name for module in pkgutil.iter_modules(tasks.__path__)} - SHARED
    assert files == {task.name.lower() for task in Task}
    assert all(isinstance(describe(task), TaskDescription) for task in Task)


@pytest.mark.parametrize("table", ["csv", "jsonl"])
def test_tables_hold_the_tasks_that_the_contract_names(table: str) -> None:
    assert {task for task in Task if describe(task).table is not None} == set(FORMATS[table])  # type: ignore[index]


def test_images_without_an_object_are_negatives_for_tasks_about_objects_only() -> None:
    about_objects = {
        Task.PANOPTIC_SEGMENTATION,
        Task.INSTANCE_SEGMENTATION,
        Task.KEYPOINT_DETECTION,
        Task.QUADRILATERAL_DETECTION,
        Task.OBJECT_DETECTION,
    }
    assert {task for task in Task if (counted := describe(task).counted) is not None and counted.negatives} == about_objects


def test_only_metric_learning_expects_classes_in_val_that_train_lacks() -> None:
    assert [task for task in Task if describe(task).new_classes_in_val] == [Task.METRIC_LEARNING]


def test_descriptions_need_no_torch() -> None:
    """Dataset checks run without it, and start in a second."""
    code = (
        "import sys; from headrace_api.tasks import Task; from headrace_trainer.tasks import describe; [describe(t) for t in Task]"
    )
    ended = subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=False)
    assert ended.returncode == 0
