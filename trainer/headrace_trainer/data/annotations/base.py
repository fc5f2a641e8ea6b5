"""What annotations of every kind have in common."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.targets import Array, Target
from headrace_trainer.data.targets.geometry import Geometry


class Annotation(Protocol):
    """What every kind of annotation can tell and do."""

    @property
    def objects(self) -> int:
        """How many objects (boxes, instances, segments, …) the image has; characters of a text; 1 for other labels of an image."""

    def class_indices(self) -> Iterable[int]:
        """The classes that occur, as far as is known without opening a file; perhaps several times."""

    def stated_size(self) -> tuple[int, int] | None:
        """Height and width of the image that the annotation was made on, if it says so."""

    def render(self, geometry: Geometry, /) -> Target:
        """The target on the canvas of `geometry`."""


def check_size(stated: tuple[int, int] | None, geometry: Geometry, where: str) -> None:
    """Raise BadSampleError unless the annotation was made on an image of this size."""
    if stated is not None and stated != geometry.source:
        (height, width), (image_height, image_width) = stated, geometry.source
        raise BadSampleError(f"{where} is for {width} x {height} pixels, but the image has {image_width} x {image_height}")


def unit(geometry: Geometry) -> Array:
    """Width, height, width, height of the image: what shares of it are multiplied with."""
    return np.array(geometry.source[::-1] * 2, np.float32)
