"""What all kinds of annotations share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.targets import Array, Target
from headrace_trainer.data.targets.geometry import Geometry


class Annotation(ABC):
    """One image's annotation. By default, it is one label for the whole image."""

    @property
    def objects(self) -> int:
        """The number of objects (boxes, instances, segments, …), or a text's characters; 1 for other labels of the whole image."""
        return 1

    def class_indices(self) -> Sequence[int]:
        """The classes that occur, as far as known without opening a file; they may repeat."""
        return ()

    def stated_size(self) -> tuple[int, int] | None:
        """Height and width of the annotated image, if the annotation states them."""
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
    """Height and width of the annotated image, if the file states them."""
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
    """Raise BadSampleError if the annotation was made for an image of a different size."""
    if stated is not None and stated != geometry.source:
        (height, width), (image_height, image_width) = stated, geometry.source
        raise BadSampleError(f"{where} is for {width} x {height} pixels, but the image has {image_width} x {image_height}")


def unit(geometry: Geometry) -> Array:
    """Width, height, width, height of the image: factors that turn fractions of it into pixels."""
    return np.array(geometry.source[::-1] * 2, np.float32)
