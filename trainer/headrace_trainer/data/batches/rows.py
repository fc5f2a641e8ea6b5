"""How targets are laid out in a batch's padded tensors: what the task's description says, and what all tasks share."""

from collections.abc import Mapping

from headrace_api.tasks import Task
from headrace_trainer.data.targets import Array, Target
from headrace_trainer.data.targets.geometry import Geometry
from headrace_trainer.tasks import describe
from headrace_trainer.tasks.description import Field, Shapes


def layout(task: Task, shapes: Shapes, beyond: int = 0) -> Mapping[str, Field]:
    """A task's tensors by name.

    `beyond`: how many objects beyond `shapes.most` have boxes, which are not learnt from; 0 means no such tensor.
    """
    description = describe(task)
    shown = {"shown": Field(shapes.canvas, False, "bool")} if description.shows_pixels else {}
    ignored = {"beyond": Field((beyond, 4), 0, "float32")} if beyond else {}
    return {**description.layout(shapes), **shown, **ignored}


def rows_of(task: Task, target: Target, shapes: Shapes, geometry: Geometry) -> Mapping[str, Array]:
    """The values at the start of the image's row in each tensor. Keeps the `shapes.most` largest objects."""
    description = describe(task)
    rows = description.rows(target, shapes)
    return {**rows, "shown": geometry.shown_map} if description.shows_pixels else rows
