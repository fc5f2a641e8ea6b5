"""Panoptic quality (Kirillov et al. 2019, https://arxiv.org/abs/1801.00868), counted as panopticapi does, on the device.

A predicted segment and a true one of the same class match if their IoU is above 0.5, so neither can match another. Predicted pixels
that are void in the truth are left out of the union. Predictions with more than half of their pixels on void or on crowds of their
class are not mistakes, and crowds are neither found nor missed. (panopticapi considers one crowd per class and image, and COCO has
no more than one; here all of them count.)

B images, N true segments, P predicted ones, C classes, H and W the image's sides.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """Which pixel belongs to which segment."""

    map: Tensor
    """int64 [B, H, W]: index of the segment; negative where there is none."""
    classes: Tensor
    """int64 [B, N]."""
    valid: Tensor
    """bool [B, N]: False for padding, which has no pixels."""


@dataclass(frozen=True)
class Counts:
    """By class, each float64 [C]."""

    overlap: Tensor
    """Sum of the matches' IoU."""
    matched: Tensor
    wrong: Tensor
    """Predicted segments without a match."""
    missed: Tensor
    """True segments without a match."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def to(self, device: torch.device) -> "Counts":
        return Counts(*(values.to(device) for values in vars(self).values()))


def no_counts(classes: int) -> Counts:
    """The counts before the first image."""
    return Counts(*(torch.zeros(classes, dtype=torch.float64) for _ in range(4)))


def count_matches(truth: Segments, crowd: Tensor, found: Segments, classes: int) -> Counts:
    """Counts of a batch; `crowd` bool [B, N] marks the true segments that are groups. No loop, no device synchronisation."""
    common = _common_pixels(truth, found)
    found_area, true_area = common[:, :, 1:].sum(dim=1), common[:, 1:].sum(dim=2)
    on_void, common = common[:, 0, 1:], common[:, 1:, 1:]
    union = found_area[:, None] + true_area[..., None] - common - on_void[:, None]
    iou = common.double() / union.clamp(min=1)
    of_class = truth.classes[..., None] == found.classes[:, None]
    single, group = truth.valid & ~crowd, truth.valid & crowd

    match = of_class & single[..., None] & found.valid[:, None] & (iou > 0.5)
    on_crowd = (common * (of_class & group[..., None])).sum(dim=1)
    excused = 2 * (on_void + on_crowd) > found_area
    wrong = found.valid & (found_area > 0) & ~match.any(dim=1) & ~excused
    missed = single & ~match.any(dim=2)
    overlap = torch.where(match, iou, 0).sum(dim=2)
    return Counts(
        _by_class(overlap, truth.classes, classes),
        _by_class(match.any(dim=2), truth.classes, classes),
        _by_class(wrong, found.classes, classes),
        _by_class(missed, truth.classes, classes),
    )


def panoptic_quality(counts: Counts, things: Tensor) -> dict[str, float]:
    """PQ, SQ, RQ, PQthings and PQstuff: means over the classes that occur; `things` bool [C]. NaN if none occurs."""
    overlap, matched, wrong, missed = (values.cpu() for values in vars(counts).values())
    occurs = matched + wrong + missed > 0
    segments = matched + (wrong + missed) / 2
    pq, sq, rq = overlap / segments, overlap / matched.clamp(min=1), matched / segments
    means = {"PQ": pq[occurs], "SQ": sq[occurs], "RQ": rq[occurs], "PQthings": pq[occurs & things], "PQstuff": pq[occurs & ~things]}
    return {name: float(values.mean()) for name, values in means.items()}


def _common_pixels(truth: Segments, found: Segments) -> Tensor:
    """Pixels that each pair has in common: int64 [B, N + 1, P + 1]; index 0 is for pixels without a segment."""
    rows, columns = truth.classes.shape[1] + 1, found.classes.shape[1] + 1
    pair = ((truth.map + 1).clamp(min=0) * columns + (found.map + 1).clamp(min=0)).flatten(1)
    return (
        torch.zeros_like(pair[:, :1]).expand(-1, rows * columns).scatter_add(1, pair, torch.ones_like(pair)).view(-1, rows, columns)
    )


def _by_class(values: Tensor, classes: Tensor, count: int) -> Tensor:
    """Sums of `values` [B, N] by class: float64 [C]."""
    sums = torch.zeros(count, dtype=torch.float64, device=values.device)
    return sums.scatter_add(0, classes.flatten(), values.double().flatten())
