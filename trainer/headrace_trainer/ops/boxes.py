"""Boxes: float [..., 4] as x0, y0, x1, y1 in pixels, half-open (width is x1 - x0), pixel i covering i to i + 1."""

import torch
from torch import Tensor

_SMALLEST_AREA = 1e-6
"""Square pixels. Divisors are at least this, so that two empty boxes have an IoU of 0 with a finite gradient."""


def area(boxes: Tensor) -> Tensor:
    """[..., 4] -> [...], square pixels; 0 if a side is not positive."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes paired by broadcasting: [..., 4] and [..., 4] -> [...], 0 to 1."""
    return _iou_and_union(a, b)[0]


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al. 2019, https://arxiv.org/abs/1902.09630): [..., 4] and [..., 4] -> [...], -1 to 1.

    IoU minus the share of the smallest enclosing box that neither covers, so it still ranks boxes that do not touch.
    """
    overlap, union = _iou_and_union(a, b)
    hull = area(torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], dim=-1))
    return overlap - (hull - union) / hull.clamp(min=_SMALLEST_AREA)


def _iou_and_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    both = area(torch.cat([torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])], dim=-1))
    union = area(a) + area(b) - both
    return both / union.clamp(min=_SMALLEST_AREA), union
