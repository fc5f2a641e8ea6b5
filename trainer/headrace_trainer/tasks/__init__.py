"""One file per task: all that data, check and conversion must know of it, without torch. Heads are in `headrace_trainer.heads`."""

from functools import cache
from importlib import import_module
from typing import Any

from headrace_api.tasks import Task
from headrace_trainer.tasks.description import TaskDescription


@cache
def describe(task: Task) -> TaskDescription[Any]:
    """The description of `task`: DESCRIPTION in the file that has its name. It is found by this name, so no list has to name it.

    Raises ModuleNotFoundError where a task has no file (a test holds that each has).
    """
    description: TaskDescription[Any] = import_module(f"{__name__}.{task.name.lower()}").DESCRIPTION
    return description
