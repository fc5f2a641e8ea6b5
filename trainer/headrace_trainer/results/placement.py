"""Maps predictions from the network's input back to the image: undoes the letterbox for points, boxes and maps.

The image fills a rectangle of the network's canvas (data/targets/geometry.py). A `Placement` scales that rectangle to `size`: the
size of the upright image, or of a picture of it. Coordinates are continuous pixels, with the origin at the outer corner of the
first pixel.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from headrace_trainer.data.targets.geometry import Geometry


@dataclass(frozen=True)
class Placement:
    """`geometry` is a letterbox: it neither crops nor mirrors."""

    geometry: Geometry
    size: tuple[int, int]
    """Height and width of the result."""

    def points(self, points: Tensor) -> Tensor:
        """float32 [..., 2] (x, y)."""
        height, width = self.geometry.scaled
        scale = torch.tensor([self.size[1] / width, self.size[0] / height])
        return (points - torch.tensor([self.geometry.left, self.geometry.top])) * scale

    def boxes(self, boxes: Tensor) -> Tensor:
        """float32 [..., 4] xyxy, clipped to the image."""
        corners = self.points(boxes.unflatten(-1, (2, 2)))
        limit = torch.tensor([self.size[1], self.size[0]], dtype=corners.dtype)
        return corners.clamp(min=0).minimum(limit).flatten(-2)

    def labels(self, labels: Tensor) -> Tensor:
        """[..., H, W] of classes or segments, by nearest neighbour."""
        shown = self._shown(labels)
        rows, columns = (
            ((torch.arange(wanted, dtype=torch.float64) + 0.5) * (there / wanted)).long().clamp(max=there - 1)
            for wanted, there in zip(self.size, shown.shape[-2:], strict=True)
        )
        return shown[..., rows, :][..., columns]

    def values(self, values: Tensor) -> Tensor:
        """float32 [..., H, W], interpolated between pixels."""
        shown = self._shown(values)
        flat = shown.reshape(1, -1, *shown.shape[-2:])
        placed = F.interpolate(flat, self.size, mode="bilinear", align_corners=False, antialias=False)
        return placed.reshape(*shown.shape[:-2], *self.size)

    def masks(self, masks: Tensor) -> Tensor:
        """bool [..., H, W]: edges are where the interpolated coverage crosses one half."""
        return self.values(masks.float()) > 0.5

    def map(self, values: Tensor) -> Tensor:
        """[..., H, W]: float32 like `values`, integers like `labels`."""
        return self.values(values) if values.is_floating_point() else self.labels(values)

    def _shown(self, maps: Tensor) -> Tensor:
        left, top, right, bottom = self.geometry.shown
        return maps[..., top:bottom, left:right]


_PLACES: Final[Mapping[str, Callable[[Placement, Tensor], Tensor]]] = {
    "boxes": Placement.boxes,
    "quads": Placement.points,
    "keypoints": Placement.points,
    "masks": Placement.masks,
    "map": Placement.map,
    "segments": Placement.labels,
    "depth": Placement.values,
    "image": Placement.values,
}
"""Predictions with a position in the image, by name; a name means the same in every head that has it."""


def placed(predictions: Mapping[str, Tensor], placement: Placement) -> dict[str, Tensor]:
    """A copy of the predictions for one image, without the batch dimension, in the pixels of `placement`."""
    return {name: _PLACES[name](placement, value) if name in _PLACES else value for name, value in predictions.items()}
