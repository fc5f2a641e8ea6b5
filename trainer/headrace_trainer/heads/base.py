"""The contract of heads: what a head needs (levels, labels, targets) and what it gives, and the registry of all heads.

Shape letters: B images of a batch, H and W the image's height and width in pixels.

Targets are dicts of tensors, batched and padded to static shapes: the data makes them, `loss` and metrics read them. Which tensors
a task has stands in its description, `headrace_trainer/tasks/<task>.py`. The step and the evaluation add, for heads whose
`uses_image` is True:

    image      float32 [B, 3, H, W]  the network's input, normalised

and in training, for heads whose `uses_defects` is True:

    defects    bool    [B, H, W]     pixels of the second look's synthetic defects

`labelled`, bool [B], says which images carry this head's labels at all: "no object in this image" is a label, "not annotated" is
not. Every image is labelled for a self-supervised head. The rows of unlabelled images hold padding and must not be used.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from torch import Tensor, nn

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_trainer.heads.scores import Score
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.results.base import Predictions, Results

Features = Mapping[int, Tensor]
"""Feature maps by level: level i is [B, channels, ceil(H / 2^i), ceil(W / 2^i)]."""
Targets = Mapping[str, Tensor]
Outputs = Mapping[str, Tensor]
"""What a head's forward pass returns, for its own loss and decoding."""


class Metric(ABC):
    """Accumulates over batches of the held-out split by the official definition, ignoring unlabelled images."""

    @abstractmethod
    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        """Add a batch."""

    @property
    @abstractmethod
    def scores(self) -> tuple[Score, ...]:
        """What `compute` returns, the primary score first.

        The primary score decides which checkpoint is best: higher is better, 1 is perfect, 0 or less is useless.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The values of `scores` by name. NaN if nothing was labelled."""


class Head(nn.Module, ABC):
    """One task on one or several levels."""

    task: ClassVar[Task]
    needs: ClassVar[tuple[str, ...]] = ()
    """Parts of the label space that must not be empty."""
    uses_image: ClassVar[bool] = False
    """Whether `loss` and the metric get the network's input in targets["image"]."""
    uses_views: ClassVar[bool] = False
    """Whether in training `loss` also gets the outputs for a second view of the same images, as "<key>@2" beside each "<key>"."""
    uses_defects: ClassVar[bool] = False
    """Whether in training `loss` also gets the outputs for the same images with synthetic defects, as "<key>@2" beside each
    "<key>", and their pixels in targets["defects"]. A head uses views or defects, not both."""
    log_variance: nn.Parameter | None
    """Log variance that scales the head's loss, a scalar, if loss weights are learnt (worker/loss_weights.py)."""

    def __init__(self, levels: Sequence[int], labels: LabelSpace) -> None:
        """Raises FatalError(BAD_DATASET) if a part of `labels` that the head needs is empty."""
        super().__init__()
        for part in self.needs:
            if not getattr(labels, part):
                raise FatalError(Reason.BAD_DATASET, f"{self.task.words} has no {part} to learn")
        self.levels = tuple(levels)
        self.labels = labels
        self.register_parameter("log_variance", None)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their indices."""
        return self.labels.classes

    @abstractmethod
    def forward(self, features: Features) -> Outputs:
        """Raw outputs from the feature maps of `levels`, with the batch first in each."""

    @abstractmethod
    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Loss terms by name, scalars, already weighted so that the head's loss is their plain sum.

        Counts labelled images only, which get the gradient they would have in a batch of their own; exactly zero, with zero
        gradients, if no image is labelled. Never synchronises with the host.
        """

    @abstractmethod
    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        """Predictions for images of `image_size` (height, width), in pixels of the network's input."""

    @abstractmethod
    def metric(self) -> Metric:
        """A fresh, empty metric."""

    @abstractmethod
    def truth(self, targets: Targets) -> Predictions | None:
        """The targets of a batch as predictions that are certain of them, so that `draw` draws them, too; all on one device.

        Where the truth of a pixel is unknown, so is it there (NaN, or no class), and `draw` leaves the image as it is. None where
        an image does not show its labels.
        """

    @abstractmethod
    def results(self, folder: Path, least_score: float) -> Results:
        """The files that predictions of this head become, in `folder`, which exists; without objects that score less than
        `least_score`."""

    @abstractmethod
    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """A copy of the image (uint8 [H, W, 3]) with the predictions of batch entry `index` drawn on it.

        Small images are enlarged by a whole factor (ops.drawing) so that text stays legible: uint8 [H * k, W * k, 3].
        """


HeadFactory = Callable[[Any, Mapping[int, int], LabelSpace], Head]
"""(options of the head as in headrace_api.model, channels by level, label space) -> head.

Raises errors.FatalError: BAD_MODEL if a level in the options does not exist, listing those that do; BAD_DATASET if a part of the
label space that the head needs is empty.
"""

REGISTRY: Final[dict[Task, HeadFactory]] = {}
"""How to build the head of each task. Filled by `register`; `headrace_trainer.heads.all` imports every head."""


def register(task: Task) -> Callable[[HeadFactory], HeadFactory]:
    """Class or function decorator that puts a factory into the registry."""

    def add(factory: HeadFactory) -> HeadFactory:
        if task in REGISTRY:
            raise ValueError(f"two heads for {task.words}")
        REGISTRY[task] = factory
        return factory

    return add


def head_factory(task: Task) -> HeadFactory:
    """How to build the head for `task`; FatalError(BAD_MODEL) if this version has none, naming the tasks that have one."""
    if task in REGISTRY:
        return REGISTRY[task]
    there = ", ".join(sorted(known.words for known in REGISTRY))
    raise FatalError(Reason.BAD_MODEL, f"this version of Headrace has no head for {task.words}; it has heads for: {there}")


def levels_between(channels: Mapping[int, int], bottom: int | None, top: int | None) -> tuple[int, ...]:
    """The levels `bottom` to `top`, both included; None stands for the lowest and the highest of `channels`.

    Raises FatalError(BAD_MODEL) if one of them is not in `channels`.
    """
    bottom = _present(channels, min(channels) if bottom is None else bottom)
    top = _present(channels, max(channels) if top is None else top)
    if bottom > top:
        raise FatalError(Reason.BAD_MODEL, f"bottomLevel {bottom} is above topLevel {top}; {_there_are(channels)}")
    return tuple(range(bottom, top + 1))


def single_level(channels: Mapping[int, int], level: int | None) -> int:
    """`level`, or the highest of `channels` for None.

    Raises FatalError(BAD_MODEL) if it is not in `channels`.
    """
    return _present(channels, max(channels) if level is None else level)


def _present(channels: Mapping[int, int], level: int) -> int:
    if level not in channels:
        raise FatalError(Reason.BAD_MODEL, f"there is no level {level}; {_there_are(channels)}")
    return level


def _there_are(channels: Mapping[int, int]) -> str:
    return f"there are the levels {', '.join(map(str, sorted(channels)))}"
