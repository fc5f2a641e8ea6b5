"""One file per task: what data, check and conversion must know about it, without torch. Heads are in `headrace_trainer.heads`."""

from functools import cache
from importlib import import_module
from typing import Any

from headrace_api.tasks import Task
from headrace_trainer.tasks.description import TaskDescription


@cache
def describe(task: Task) -> TaskDescription[Any]:
    """The description of `task`: DESCRIPTION in the file named after it, so that no list has to name every task.

    Raises ModuleNotFoundError if a task has no file (a test checks that each has one).
    """
    description: TaskDescription[Any] = import_module(f"{__name__}.{task.name.lower()}").DESCRIPTION
    return description
