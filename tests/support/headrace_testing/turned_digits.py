"""Digit scenes in memory, each turned a quarter further than the one before, for heads that find corners.

So a corner's position does not tell whether it is the digit's first.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headrace_scenes import draw_scene
from headrace_trainer.data.annotations.keypoint_table import AREA_OF_BOX
from headrace_trainer.ops.pixels import normalise
from headrace_trainer.ops.quad_overlap import bounds


@dataclass(frozen=True)
class TurnedDigits:
    """B scenes of H = W = `size` pixels with N digits, padded."""

    images: Tensor
    """float32 [B, 3, H, W], normalised."""
    corners: Tensor
    """float32 [B, N, 4, 2] of the rectangle around each digit, clockwise from the digit's own top left."""
    digits: Tensor
    """int64 [B, N]"""
    here: Tensor
    """bool [B, N]: False is padding."""
    covered: Tensor
    """bool [B, N, 4]: another digit covers the corner."""

    @property
    def quad_targets(self) -> dict[str, Tensor]:
        """Targets for quadrilateral detection: digits by class."""
        return {"quads": self.corners, "classes": self.digits, "valid": self.here, "crowd": torch.zeros_like(self.here)}

    @property
    def keypoint_targets(self) -> dict[str, Tensor]:
        """Targets for keypoint detection: all in one class, with four corners each."""
        boxes = bounds(self.corners)
        sides = boxes[..., 2:] - boxes[..., :2]
        return {
            "boxes": boxes,
            "classes": torch.zeros_like(self.digits),
            "valid": self.here,
            "crowd": torch.zeros_like(self.here),
            "keypoints": self.corners,
            "visibility": torch.where(self.covered, 1, 2) * self.here[..., None],
            "area": AREA_OF_BOX * sides.prod(dim=-1),
        }


def make_turned_digits(count: int = 8, size: int = 64, seed: int = 0) -> TurnedDigits:
    """The first `count` scenes of the train split."""
    scenes = [draw_scene("train", index, size, seed) for index in range(count)]
    shape = (count, max(len(scene.digits) for scene in scenes))
    corners, digits = torch.zeros(*shape, 4, 2), torch.zeros(shape, dtype=torch.int64)
    here, covered = torch.zeros(shape, dtype=torch.bool), torch.zeros(*shape, 4, dtype=torch.bool)
    images = []
    for index, scene in enumerate(scenes):
        there = len(scene.digits)
        image, places = scene.image, torch.from_numpy(scene.corners).float()
        for _ in range(index % 4):
            image, places = np.rot90(image), torch.stack([places[..., 1], size - places[..., 0]], dim=-1)
        images.append(torch.from_numpy(image.copy()).permute(2, 0, 1))
        corners[index, :there], digits[index, :there] = places, torch.from_numpy(scene.digits)
        here[index, :there], covered[index, :there] = True, torch.from_numpy(scene.covered)
    return TurnedDigits(normalise(torch.stack(images)), corners, digits, here, covered)
