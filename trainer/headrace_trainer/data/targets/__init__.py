"""One image's labels after geometry, one class per task. Plain numpy; padding and tensors come later.

Shape letters: H, W height and width of the network's input in pixels; n objects of the image; C classes of the layer; K keypoints
of an object; D values of an image. All coordinates are pixels of the network's input, the origin at the outer corner of the first
pixel; boxes are xyxy and half-open.
"""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

IGNORE = -1
"""Pixels that are neither learnt from nor scored."""
NO_LABEL = -1


class Target:
    """One image's labels for a task."""


@dataclass(frozen=True)
class Boxes(Target):
    """Object detection."""

    boxes: Array
    """float32 [n, 4]"""
    classes: Array
    """int64 [n]"""
    crowd: Array
    """bool [n]: a group in one box; not learnt from, and ignored by the metric."""


@dataclass(frozen=True)
class Instances(Target):
    """Instance segmentation. No mask is empty."""

    masks: Array
    """bool [n, H, W]; may overlap"""
    classes: Array
    """int64 [n]"""
    crowd: Array
    """bool [n]"""


@dataclass(frozen=True)
class Panoptic(Target):
    """Panoptic segmentation: each pixel belongs to at most one of S segments."""

    segments: Array
    """int32 [H, W]: index of the segment, or IGNORE"""
    classes: Array
    """int64 [S]"""
    crowd: Array
    """bool [S]"""
    whole: Array
    """bool [S]: enough of the segment is visible to count as an object; the map shows the others too."""


@dataclass(frozen=True)
class ClassMap(Target):
    """Semantic segmentation."""

    map: Array
    """int32 [H, W]: class, or IGNORE"""


@dataclass(frozen=True)
class Keypoints(Target):
    """Keypoint detection."""

    boxes: Array
    """float32 [n, 4]"""
    classes: Array
    """int64 [n]"""
    crowd: Array
    """bool [n]"""
    keypoints: Array
    """float32 [n, K, 2] (x, y); 0 where visibility is 0"""
    visibility: Array
    """int64 [n, K]: 0 not labelled, or outside the canvas; 1 labelled but hidden; 2 visible"""
    area: Array
    """float32 [n]: of the whole object in square pixels, even if the crop cuts it: the scale of OKS."""


@dataclass(frozen=True)
class Quads(Target):
    """Quadrilateral detection."""

    quads: Array
    """float32 [n, 4, 2] (x, y): corners clockwise on screen, the first where reading begins; not clipped"""
    classes: Array
    """int64 [n]"""
    crowd: Array
    """bool [n]: illegible; not learnt from, and ignored by the metric."""
    bounds: Array
    """float32 [n, 4]: the tight box around the visible part of each"""


@dataclass(frozen=True)
class Labels(Target):
    """Multilabel classification."""

    labels: Array
    """bool [C]"""


@dataclass(frozen=True)
class Label(Target):
    """Multiclass classification."""

    label: int


@dataclass(frozen=True)
class Identity(Target):
    """Metric learning."""

    label: int


@dataclass(frozen=True)
class Values(Target):
    """Regression."""

    values: Array
    """float32 [D]; 0 where unknown"""
    known: Array
    """bool [D]"""


@dataclass(frozen=True)
class Depth(Target):
    """Depth estimation."""

    depth: Array
    """float32 [H, W]; 0 where unknown"""
    known: Array
    """bool [H, W]"""


@dataclass(frozen=True)
class Anomaly(Target):
    """Anomaly detection."""

    anomalous: bool
    mask: Array
    """bool [H, W]: anomalous pixels"""
    has_mask: bool
    """Whether `mask` is known, as it is for every normal image."""


@dataclass(frozen=True)
class Text(Target):
    """Text recognition."""

    text: str


@dataclass(frozen=True)
class ImageOnly(Target):
    """Both self-supervised tasks: the image itself."""

    label: int
    """Class or identity for scoring, if the layer has one; else NO_LABEL."""
