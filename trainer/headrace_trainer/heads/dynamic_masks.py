"""Masks of objects found by dense boxes, shared by the instance and panoptic segmentation heads. Not a head by itself.

Method: CondInst (Tian et al. 2020, https://arxiv.org/abs/2003.05664). Besides its box, every cell predicts the weights of a tiny
network of 1 × 1 convolutions (its "kernel"), which turns one map of the whole image into the mask of the cell's object. Why this
method: it has no second stage and crops no features, the dense boxes it builds on already exist, and unlike mask queries with
cross-attention it learns from few images. Differences:

- The tiny network sees each position in the frame of the cell's box (-1 to 1 inside), not relative to the cell, so it knows the
  extent of the object before any mask is learnt.
- Its last layer predicts 2 × 2 sub-cells (heads/fused_map.py), so that masks have half the image's size.
- Kernels are learnt as differences from a common one, initialised like any network (its weights are the biases of the layer that
  computes the kernels): with all weights near zero, as in CondInst, three layers multiply to no gradient at first.
- Loss: Dice over the whole image, as in CondInst, plus binary cross entropy around the object, which makes edges exact. The truth
  is the share of each sub-cell that the object covers; comparing at half the image's size loses almost nothing (mean IoU 0.988
  after enlarging those shares to the image again, for shapes of 19 to 29 pixels).

Memory: masks are learnt for at most MASKS cells per image, however many objects there are. At 512 × 512 pixels each keeps about
2.2 MB for the backward pass (two maps of 8 channels at a quarter of the image's size, and the inputs of the losses at half of it):
at most 140 MB per image. The truth, bool [B, N, H, W], is 26 MB per image for 100 objects, and the same again on the host.

B images, N objects, A cells of all levels, M masks (to learn or detected), F features, h and w the fused map's height and width.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_trainer.heads.base import Outputs
from headrace_trainer.heads.dense_boxes import Cells, DenseBoxes, at_cells, in_a_row
from headrace_trainer.heads.fused_map import SUB_CELLS, FusedMap, to_image
from headrace_trainer.ops.assignment import Assignment
from headrace_trainer.ops.losses import masked_sum

FEATURES = 8
"""Channels of the map that masks are computed from and of the tiny network's layers, as in CondInst."""
MASKS = 64
"""Cells per image for which masks are learnt, as in CondInst."""
CELLS_PER_OBJECT = 4
"""Cells per padded object: with few objects, fewer cells than MASKS are enough."""
SMALLEST_FRAME = 4.0
"""Pixels. Half sides of boxes count as at least this long when coordinates are divided by them."""
FARTHEST = 4.0
"""Coordinates are clamped to this many half sides from the centre: farther away, the distance does not matter."""
NEIGHBOURHOOD = 1.5
"""Cross entropy is computed inside the object's box enlarged by this factor."""
DICE_WEIGHT, EDGE_WEIGHT = 2.0, 2.0
_LAYERS = ((FEATURES + 2, FEATURES), (FEATURES, FEATURES), (FEATURES, SUB_CELLS**2))
"""Inputs and outputs of the tiny network's layers; the last two inputs of the first are the coordinates."""


@dataclass(frozen=True)
class Chosen:
    """Cells for which masks are learnt."""

    object: Tensor
    """int64 [B, M]: index into N."""
    cell: Tensor
    """int64 [B, M]: index into A."""
    taken: Tensor
    """bool [B, M]; the other entries hold valid indices and do not count."""


class DynamicMasks(nn.Module):
    """The maps of the boxes' tower and the fused map -> outputs "masks" float32 [B, F, h, w]; "kernels<i>" for each level i."""

    def __init__(self, dense: DenseBoxes, fused: FusedMap) -> None:
        super().__init__()
        self.levels = dense.levels
        self.level = fused.level
        self.features = nn.Conv2d(fused.width, FEATURES, 1)
        self.kernels = nn.Conv2d(dense.width, sum(inputs * outputs + outputs for inputs, outputs in _LAYERS), 1)
        nn.init.normal_(self.kernels.weight, std=0.01)
        assert self.kernels.bias is not None  # for the type checker: Conv2d has one unless told otherwise
        with torch.no_grad():
            self.kernels.bias.copy_(_common_kernel())

    def forward(self, box_maps: Mapping[int, Tensor], fused: Tensor) -> dict[str, Tensor]:
        kernels = {f"kernels{level}": self.kernels(x).float() for level, x in box_maps.items()}
        return {"masks": self.features(fused).float(), **kernels}

    def logits(self, outputs: Outputs, cells: Cells, cell: Tensor) -> Tensor:
        """The masks of some cells (int64 [B, M]), per sub-cell: float32 [B, M, h * 2, w * 2]."""
        features = outputs["masks"]
        *_, height, width = features.shape
        kernels = at_cells(in_a_row(outputs, "kernels", self.levels), cell)
        x, y = _coordinates(at_cells(cells.boxes.detach(), cell), (height, width), 2**self.level)
        (w1, b1), (w2, b2), (w3, b3) = _layers(kernels)
        # The first layer sees features and coordinates. Coordinates are separable: one row and one column per mask, not a map.
        seen = (w1[..., :-2].flatten(1, 2) @ features.flatten(2)).view(*w1.shape[:3], height, width)
        across, down = w1[..., -2, None] * x[:, :, None] + b1, w1[..., -1, None] * y[:, :, None]
        hidden = F.relu(seen + across[..., None, :] + down[..., None]).flatten(3)
        hidden = F.relu(w2 @ hidden + b2)
        quarters = (w3 @ hidden + b3).view(*w3.shape[:3], height, width)
        return F.pixel_shuffle(quarters, SUB_CELLS).squeeze(2).float()

    def probabilities(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """The result of `logits` -> each mask's probability at each pixel of an image of `size` (H, W): [B, M, H, W].

        Interpolates probabilities, not logits: they stand for shares of sub-cells, and the edge is where they cross 0.5.
        """
        return to_image(logits.sigmoid(), self.level, size)

    def losses(self, logits: Tensor, truth: Tensor, boxes: Tensor, taken: Tensor) -> dict[str, Tensor]:
        """ "dice" and "edges", means over the masks that are `taken` (bool [B, M]).

        `truth` is bool [B, M, H, W]; `boxes` [B, M, 4] are the true boxes. Where not taken, both may hold anything finite.
        """
        side = 2**self.level // SUB_CELLS
        coverage = _coverage(truth, side, (logits.shape[2], logits.shape[3]))
        found = logits.sigmoid()
        common = (found * coverage).sum(dim=(2, 3))
        both = found.square().sum(dim=(2, 3)) + coverage.square().sum(dim=(2, 3))
        dice = 1 - 2 * common / both.clamp(min=1e-6)

        x, y = _coordinates(boxes, (logits.shape[2], logits.shape[3]), side)
        near = (x.abs() <= NEIGHBOURHOOD)[:, :, None] & (y.abs() <= NEIGHBOURHOOD)[..., None]
        entropy = F.binary_cross_entropy_with_logits(logits, coverage, reduction="none")
        edges = torch.where(near, entropy, 0).sum(dim=(2, 3)) / near.sum(dim=(2, 3)).clamp(min=1)

        count = taken.sum().clamp(min=1)
        return {"dice": DICE_WEIGHT * masked_sum(dice, taken) / count, "edges": EDGE_WEIGHT * masked_sum(edges, taken) / count}


def choose(assigned: Assignment) -> Chosen:
    """At most MASKS of the cells assigned to objects: first one for each object, then a second one, and so on.

    With more objects than that, the noise in their qualities decides at random which are left out at each step, whether they are
    easy or hard: the hard ones must be learnt too.
    """
    _, objects, k = assigned.cell.shape
    count = min(MASKS, objects * min(CELLS_PER_OBJECT, k))
    turn = assigned.taken.cumsum(dim=2)
    lot = (assigned.quality * 1e4).frac()
    order = torch.where(assigned.taken, lot - turn, -torch.inf).flatten(1).topk(count).indices
    cell, taken = (x.flatten(1).gather(1, order) for x in (assigned.cell, assigned.taken))
    return Chosen(order // k, cell, taken)


def _common_kernel() -> Tensor:
    """Weights and biases of a fresh tiny network; the sub-cells of its last layer start identical."""
    parts = []
    for inputs, outputs in _LAYERS:
        last = outputs == SUB_CELLS**2
        weight = torch.empty(1 if last else outputs, inputs)
        nn.init.kaiming_normal_(weight, nonlinearity="linear" if last else "relu")
        parts += [weight.expand(outputs, inputs).flatten(), torch.zeros(outputs)]
    return torch.cat(parts)


def _layers(kernels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """[B, M, ...] -> weight [B, M, out, in] and bias [B, M, out, 1] of each layer."""
    sizes = [size for inputs, outputs in _LAYERS for size in (inputs * outputs, outputs)]
    parts = iter(kernels.split(sizes, dim=2))
    return [(next(parts).unflatten(2, (outputs, inputs)), next(parts)[..., None]) for inputs, outputs in _LAYERS]


def _coordinates(boxes: Tensor, shape: tuple[int, int], stride: int) -> tuple[Tensor, Tensor]:
    """Coordinates of the columns and rows of a map of `shape` (h, w) in the frames of boxes [B, M, 4]: [B, M, w] and [B, M, h].

    -1 to 1 inside the box, clamped to FARTHEST.
    """
    found = []
    for low, high, cells in ((boxes[..., 0], boxes[..., 2], shape[1]), (boxes[..., 1], boxes[..., 3], shape[0])):
        position = (torch.arange(cells, device=boxes.device) + 0.5) * stride
        half = ((high - low) / 2).clamp(min=SMALLEST_FRAME)
        found.append(((position - (low + high)[..., None] / 2) / half[..., None]).clamp(-FARTHEST, FARTHEST))
    return found[0], found[1]


def _coverage(masks: Tensor, side: int, shape: tuple[int, int]) -> Tensor:
    """bool [B, M, H, W] -> float32 [B, M, *shape]: the share of True pixels in each square of `side` pixels, within the image."""
    height, width = masks.shape[2:]
    overhang = (0, shape[1] * side - width, 0, shape[0] * side - height)
    inside = F.pad(masks.new_ones(1, 1, height, width), overhang)
    return _count(F.pad(masks, overhang), side) / _count(inside, side).clamp(min=1)


def _count(masks: Tensor, side: int) -> Tensor:
    """True pixels in each square of `side` pixels; by slices, because pooling needs float, which is four times as large."""
    slices = [masks[..., row::side, column::side] for row in range(side) for column in range(side)]
    return torch.stack([x.float() for x in slices]).sum(dim=0) if side > 1 else slices[0].float()
