"""What annotations of every kind have in common."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.targets import Array, Target
from headrace_trainer.data.targets.geometry import Geometry


class Annotation(ABC):
    """What is annotated in one image. Unless it says otherwise, it is one label for the whole image."""

    @property
    def objects(self) -> int:
        """How many objects (boxes, instances, segments, …) the image has; characters of a text; 1 for other labels of an image."""
        return 1

    def class_indices(self) -> Sequence[int]:
        """The classes that occur, as far as is known without opening a file; perhaps several times."""
        return ()

    def stated_size(self) -> tuple[int, int] | None:
        """Height and width of the image that the annotation was made on, if it says so."""
        return None

    @abstractmethod
    def render(self, geometry: Geometry, /) -> Target:
        """The target on the canvas of `geometry`."""


@dataclass(frozen=True, kw_only=True)
class ObjectAnnotation(Annotation):
    """n objects."""

    classes: Array
    """int64 [n]"""
    crowd: Array
    """bool [n]: not learnt from, and ignored by the metric"""
    size: tuple[int, int] | None = None
    """Height and width of the image that it was made on, if the file says so."""
    where: str = "the annotation"
    """File and place, for messages."""

    @property
    def objects(self) -> int:
        return len(self.classes)

    def class_indices(self) -> list[int]:
        indices: list[int] = self.classes.tolist()
        return indices

    def stated_size(self) -> tuple[int, int] | None:
        return self.size


def check_size(stated: tuple[int, int] | None, geometry: Geometry, where: str) -> None:
    """Raise BadSampleError unless the annotation was made on an image of this size."""
    if stated is not None and stated != geometry.source:
        (height, width), (image_height, image_width) = stated, geometry.source
        raise BadSampleError(f"{where} is for {width} x {height} pixels, but the image has {image_width} x {image_height}")


def unit(geometry: Geometry) -> Array:
    """Width, height, width, height of the image: what shares of it are multiplied with."""
    return np.array(geometry.source[::-1] * 2, np.float32)
