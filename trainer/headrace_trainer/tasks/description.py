"""What the rest of the trainer must know of a task besides its head: the parts of a description. No torch.

Every part is required, so a description that forgets one is a type error. Where a task has nothing to say, this module has the part
that says so (`no_objects`, `learns_from_all`, …).
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
    """An image without any is a negative example, which reports count; else its label is of the whole image."""
    most_learnt: int | None
    """In training, targets are padded to the most objects that an image has, but to no more than this: memory goes with the
    padding. None: to that most, whatever it is."""


@dataclass(frozen=True)
class Shapes:
    """What the sizes of a batch's tensors follow from."""

    labels: LabelSpace
    most: int
    """Objects or characters that an image may have."""
    canvas: tuple[int, int]
    """Height and width of the network's input in pixels."""


@dataclass(frozen=True)
class Field:
    """One tensor of a head's targets."""

    shape: tuple[int, ...]
    """Of one image."""
    padding: float
    dtype: Literal["float32", "int64", "bool"]
    """Named, not torch's own: a dataset is opened, and its samples are made, without torch."""


@dataclass(frozen=True)
class Conversion(Generic[S, T]):
    """How targets of another task become this one's, after geometry, so that they tell what the crop shows.

    Both functions take the class table of the other task.
    """

    targets: Callable[[S, ClassTable], T]
    classes: Callable[[ClassTable], ClassTable]


@dataclass(frozen=True, kw_only=True)
class TaskDescription(Generic[T]):
    """A task whose targets are of type T."""

    counted: Counted | None
    """None: there is nothing to count, each image has one label."""
    layout: Callable[[Shapes], Mapping[str, Field]]
    """The tensors of its targets by name; the docstring of the task's file describes them for a whole batch."""
    rows: Callable[[T, Shapes], Mapping[str, Array]]
    """What goes to the start of an image's row in each of these tensors."""
    shows_pixels: bool
    """It is about the image itself, not about what is annotated in it: its targets say which pixels show the image ("shown")."""
    made_from: Mapping[Task, Conversion[Any, T]]
    """By task, how its targets become this one's: the edges of `headrace_api.tasks.CONVERSIONS` that end here (a test compares
    them). Self-supervised tasks are made from every other in one way (data/head_labels/convert.py) and have none."""
    one_label: bool
    """Each image has one label (`target.label`). Self-supervised heads keep it to be scored by."""
    label_space: Callable[[LabelSpace, LayerData, Mapping[str, Annotation]], LabelSpace]
    """Completes a label space that has its classes only. The annotations are those to train on, by image."""
    learnable: Callable[[LayerData, Problems], LayerData]
    """A layer of this task without what cannot be learnt from, which is told to `problems`."""
    obstacle: Callable[[LayerData, Mapping[str, Annotation]], str | None]
    """Why a layer of this task cannot be learnt from although it has labels; None where it can. The annotations are those to train
    on, by image."""
    warnings: Callable[[HeadOptions, Layer, LabelSpace, Sequence[Annotation]], Iterable[str]]
    """What is legal but usually a mistake, as ends of "head 'name' …". Annotations are those to train on."""
    new_classes_in_val: bool
    """Classes that only occur in val are meant to: the task is about telling unseen ones apart."""
    reads_text: bool
    """Mirrored or cropped images would have other labels."""
    table: Callable[[Layer, DatasetFiles, Sequence[Table]], LayerData] | None
    """Reads a layer of this task from tables (CSV, JSON lines); None: tables cannot hold it."""


def rows_by_name(target: Target, _: Shapes) -> Mapping[str, Array]:
    """`TaskDescription.rows` of targets whose fields are called like their tensors."""
    return {name: np.asarray(values) for name, values in vars(target).items()}


def classes_alone(labels: LabelSpace, _: LayerData, __: Mapping[str, Annotation]) -> LabelSpace:
    """`TaskDescription.label_space` where there are no other parts than classes."""
    return labels


def learns_from_all(layer: LayerData, _: Problems) -> LayerData:
    """`TaskDescription.learnable` where every annotation can be learnt from."""
    return layer


def no_obstacle(_: LayerData, __: Mapping[str, Annotation]) -> str | None:
    """`TaskDescription.obstacle` where labels are all it takes."""
    return None


def no_warnings(_: HeadOptions, __: Layer, ___: LabelSpace, ____: Sequence[Annotation]) -> Iterator[str]:
    """`TaskDescription.warnings` where nothing is usually a mistake."""
    return iter(())


def same_classes(classes: ClassTable) -> ClassTable:
    """`Conversion.classes` where both tasks have the same."""
    return classes
