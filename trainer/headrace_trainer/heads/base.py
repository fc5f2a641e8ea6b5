"""The contract of heads. A head declares what it needs (levels, targets) and what it gives; the registry of heads is all there is.

Shape letters: B images of a batch, N objects (padded), C classes, H and W the image's height and width in pixels.

Targets are dicts of tensors, batched and padded to static shapes, by task (they are what `data` makes and `loss` and metrics read):

    object-detection             boxes   float32 [B, N, 4]  xyxy, pixels of the network's input, half-open
                                 classes int64   [B, N]
                                 valid   bool    [B, N]     False is padding
                                 crowd   bool    [B, N]     True: a group; not learnt from, and ignored by the metric as COCO does
    semantic-segmentation        map     int64   [B, H, W]  class, or IGNORE
    multilabel-classification    labels  float32 [B, C]     0 or 1
    multiclass-classification    label   int64   [B]

and `labelled`, bool [B], tells which images carry this head's labels at all: "no object in this image" is a label, "nobody looked"
is not. The rows of unlabelled images hold padding and must not be looked at.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from torch import Tensor, nn

from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_trainer.errors import FatalError

IGNORE: Final = -1
"""Value of pixels in a class map that are neither learnt from nor scored."""

Features = Mapping[int, Tensor]
"""Feature maps by level: level i is [B, channels, ceil(H / 2^i), ceil(W / 2^i)]."""
Targets = Mapping[str, Tensor]
Outputs = Mapping[str, Tensor]
"""What a head's forward pass gives, for its own loss and decoding."""
Predictions = Mapping[str, Tensor]
"""What a head's decoding gives, batched and padded; each head documents its keys."""


class Metric(ABC):
    """Accumulates over batches of the held-out split; official definitions, images that are not labelled left out."""

    @abstractmethod
    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        """Add a batch."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Scores by name, the head's `primary` among them. NaN where nothing was labelled."""


class Head(nn.Module, ABC):
    """One task on one or several levels."""

    task: ClassVar[Task]
    primary: ClassVar[str]
    """The score, in 0 to 1 and higher is better, that decides which checkpoint is best."""

    def __init__(self, levels: Sequence[int], classes: Sequence[str]) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.classes = tuple(classes)

    @abstractmethod
    def forward(self, features: Features) -> Outputs:
        """Raw outputs from the feature maps of `levels`."""

    @abstractmethod
    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Loss terms by name, each a scalar, each already weighted so that the head's loss is their plain sum.

        Counts labelled images only, and gives them the gradient they would have in a batch of their own; exactly zero, with
        finite zero gradients, where no image is labelled. Never synchronises with the host.
        """

    @abstractmethod
    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        """Predictions for images of `image_size` (height, width), in pixels of the network's input."""

    @abstractmethod
    def metric(self) -> Metric:
        """A fresh, empty metric."""

    @abstractmethod
    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """A copy of the image (uint8 [H, W, 3]) with the predictions of batch entry `index` drawn on it.

        Enlarged by a whole factor (ops.drawing) where it is small, so that text stays legible: uint8 [H * k, W * k, 3].
        """


HeadFactory = Callable[[Any, Mapping[int, int], Sequence[str]], Head]
"""(options of the head as in headrace_api.model, channels by level, class names) -> head.

Raises errors.FatalError(Reason.BAD_MODEL) where a level that the options name is not there, saying which there are.
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


def levels_between(channels: Mapping[int, int], bottom: int | None, top: int | None) -> tuple[int, ...]:
    """The levels `bottom` to `top`, both included; None stands for the lowest and the highest of `channels`.

    Raises FatalError(BAD_MODEL) where one of them is not in `channels`.
    """
    bottom = _present(channels, min(channels) if bottom is None else bottom)
    top = _present(channels, max(channels) if top is None else top)
    if bottom > top:
        raise FatalError(Reason.BAD_MODEL, f"bottomLevel {bottom} lies above topLevel {top}; {_there_are(channels)}")
    return tuple(range(bottom, top + 1))


def single_level(channels: Mapping[int, int], level: int | None) -> int:
    """`level`, or the highest of `channels` for None.

    Raises FatalError(BAD_MODEL) where it is not in `channels`.
    """
    return _present(channels, max(channels) if level is None else level)


def _present(channels: Mapping[int, int], level: int) -> int:
    if level not in channels:
        raise FatalError(Reason.BAD_MODEL, f"there is no level {level} to look at; {_there_are(channels)}")
    return level


def _there_are(channels: Mapping[int, int]) -> str:
    return f"there are the levels {', '.join(map(str, sorted(channels)))}"
