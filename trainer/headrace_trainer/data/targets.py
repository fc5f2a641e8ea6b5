"""What one image's labels look like once geometry was applied, one class per task. Plain numpy; padding and tensors come later.

Shape letters: H, W height and width of the network's input in pixels; n objects of the image; C classes of the layer. All
coordinates are pixels of the network's input, the origin at the outer corner of the first pixel; boxes are xyxy and half-open.
"""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

IGNORE = -1
"""Pixels that are neither learnt from nor scored. Equal to heads.base.IGNORE (a test holds them together), which needs torch."""


@dataclass(frozen=True)
class Boxes:
    """Object detection."""

    boxes: Array
    """float32 [n, 4]"""
    classes: Array
    """int64 [n]"""
    crowd: Array
    """bool [n]: a group in one box; not learnt from, and ignored by the metric."""


@dataclass(frozen=True)
class Instances:
    """Instance segmentation. No mask is empty."""

    masks: Array
    """bool [n, H, W]; may overlap"""
    classes: Array
    """int64 [n]"""
    crowd: Array
    """bool [n]"""


@dataclass(frozen=True)
class Panoptic:
    """Panoptic segmentation: each pixel belongs to at most one of S segments."""

    segments: Array
    """int32 [H, W]: index of the segment, or IGNORE"""
    classes: Array
    """int64 [S]"""
    crowd: Array
    """bool [S]"""
    whole: Array
    """bool [S]: enough of the segment is visible to be an object of its own; the map shows the others all the same."""


@dataclass(frozen=True)
class ClassMap:
    """Semantic segmentation."""

    map: Array
    """int32 [H, W]: class, or IGNORE"""


@dataclass(frozen=True)
class Labels:
    """Multilabel classification."""

    labels: Array
    """bool [C]"""


@dataclass(frozen=True)
class Label:
    """Multiclass classification."""

    label: int


Target = Boxes | Instances | Panoptic | ClassMap | Labels | Label
