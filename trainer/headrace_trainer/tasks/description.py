"""What the rest of the trainer needs to know about a task besides its head: the parts of a description. No torch.

Every part is required, so a description that forgets one is a type error. A task with nothing special to say uses one of this
module's defaults (`no_obstacle`, `learns_from_all`, …).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from headrace_api.dataset import Layer
from headrace_api.heads import HeadOptions
from headrace_api.tasks import Task
from headrace_trainer.data.annotations import Annotation
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import LayerData
from headrace_trainer.data.problems import Problems
from headrace_trainer.data.tables.reader import Table
from headrace_trainer.data.targets import Array, Target
from headrace_trainer.label_space import LabelSpace

T = TypeVar("T", bound=Target)
S = TypeVar("S", bound=Target)


@dataclass(frozen=True)
class Counted:
    """What `Annotation.objects` counts for a task."""

    what: str
    """Plural, for reports: "boxes"."""
    negatives: bool
    """True: an image without any is a negative example, which reports count. False: the label describes the whole image."""
    most_learnt: int | None
    """In training, targets are padded to the most objects in any image, but to no more than this, because memory grows with the
    padding. None: no limit."""


@dataclass(frozen=True)
class Shapes:
    """What determines the sizes of a batch's tensors."""

    labels: LabelSpace
    most: int
    """The most objects or characters in one image."""
    canvas: tuple[int, int]
    """Height and width of the network's input in pixels."""


@dataclass(frozen=True)
class Field:
    """One tensor of a head's targets."""

    shape: tuple[int, ...]
    """For one image."""
    padding: float
    dtype: Literal["float32", "int64", "bool"]
    """A name, not torch's own type: datasets are opened, and samples made, without torch."""


@dataclass(frozen=True)
class Conversion(Generic[S, T]):
    """Converts another task's targets to this one's, after geometry, so that they describe what the crop shows.

    Both functions take the other task's class table.
    """

    targets: Callable[[S, ClassTable], T]
    classes: Callable[[ClassTable], ClassTable]


@dataclass(frozen=True, kw_only=True)
class TaskDescription(Generic[T]):
    """A task whose targets are of type T."""

    counted: Counted | None
    """None: there is nothing to count; the label describes the whole image."""
    layout: Callable[[Shapes], Mapping[str, Field]]
    """The tensors of its targets by name; the docstring of the task's file describes them, for a whole batch."""
    rows: Callable[[T, Shapes], Mapping[str, Array]]
    """The values at the start of an image's row in each of these tensors."""
    shows_pixels: bool
    """The task is about the image's pixels, not its annotations: its targets say which pixels show the image ("shown")."""
    made_from: Mapping[Task, Conversion[Any, T]]
    """By source task, how its targets become this one's: the edges of `headrace_api.tasks.CONVERSIONS` that end here (a test
    compares them). Empty for self-supervised tasks: all others convert to them the same way (data/head_labels/convert.py)."""
    one_label: bool
    """Each image has one label (`target.label`). Self-supervised heads keep it for scoring."""
    label_space: Callable[[LabelSpace, LayerData, Mapping[str, Annotation]], LabelSpace]
    """Completes a label space that only has classes so far. The annotations, by image, are those to train on."""
    learnable: Callable[[LayerData, Problems], LayerData]
    """Drops what cannot be learnt from a layer of this task, and reports it to `problems`."""
    obstacle: Callable[[LayerData, Mapping[str, Annotation]], str | None]
    """Why heads cannot learn from a layer of this task although it has labels; None if they can. The annotations, by image, are
    those to train on."""
    warnings: Callable[[HeadOptions, Layer, LabelSpace, Sequence[Annotation]], Iterable[str]]
    """Warnings about legal but usually mistaken settings, each completing "head 'name' …". Annotations are those to train on."""
    new_classes_in_val: bool
    """Classes that occur only in val are intended: the task is to tell unseen ones apart."""
    reads_text: bool
    """Mirroring or cropping an image would change its label."""
    table: Callable[[Layer, DatasetFiles, Sequence[Table]], LayerData] | None
    """Reads a layer of this task from tables (CSV, JSON lines); None if tables cannot hold it."""


def rows_by_name(target: Target, _: Shapes) -> Mapping[str, Array]:
    """`TaskDescription.rows` for targets whose fields have the names of their tensors."""
    return {name: np.asarray(values) for name, values in vars(target).items()}


def classes_alone(labels: LabelSpace, _: LayerData, __: Mapping[str, Annotation]) -> LabelSpace:
    """`TaskDescription.label_space` for tasks that need only classes."""
    return labels


def learns_from_all(layer: LayerData, _: Problems) -> LayerData:
    """`TaskDescription.learnable` for tasks that learn from every annotation."""
    return layer


def no_obstacle(_: LayerData, __: Mapping[str, Annotation]) -> str | None:
    """`TaskDescription.obstacle` for tasks that need only labels."""
    return None


def no_warnings(_: HeadOptions, __: Layer, ___: LabelSpace, ____: Sequence[Annotation]) -> Iterator[str]:
    """`TaskDescription.warnings` for tasks without any."""
    return iter(())


def same_classes(classes: ClassTable) -> ClassTable:
    """`Conversion.classes` if both tasks have the same classes."""
    return classes
