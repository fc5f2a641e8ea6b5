"""Boxes from every cell of several levels, shared by the heads that find objects. Not a head by itself.

Method: FCOS (Tian et al. 2019, https://arxiv.org/abs/1904.01355), trained like TOOD (Feng et al. 2021,
https://arxiv.org/abs/2108.07755). Weights are shared between levels. Every cell predicts a score for each class and the distances
from its centre to the four sides of a box. Task-aligned assignment gives objects to the cells that already predict them best,
quality focal loss makes the score reflect how well the box fits (so no centerness is needed), and GIoU loss trains the box.
Differences from TOOD: each tower has two plain convolutions instead of six with task-decomposing layers; candidates are only near
the centre (ops.assignment).

A head that predicts more than a box (a mask, keypoints, corners) computes it from the maps of the box tower (`DenseBoxes.forward`
returns them too), trains it at the cells that `assign` gives to the object, and reads it at the cells that `detect` names.

B images, N objects, C classes, A cells of all levels (lowest level first, row by row), K cells per object, M max detections. Boxes
are x0, y0, x1, y1 in pixels of the network's input, half-open.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms, clip_boxes_to_image

from headrace_trainer.heads.base import Features, Outputs, Targets
from headrace_trainer.ops import quad_overlap as quads
from headrace_trainer.ops.assignment import Assignment, candidates, task_aligned
from headrace_trainer.ops.boxes import giou, iou
from headrace_trainer.ops.drawing import Canvas, with_score
from headrace_trainer.ops.grid import Level, answering_cells, cell_centers
from headrace_trainer.ops.layers import Float32Conv2d, conv_norm, conv_norm_relu
from headrace_trainer.ops.losses import masked_sum, quality_focal_loss
from headrace_trainer.results.base import Predictions

WIDTH = 256
"""Channels of the towers, as in FCOS; fewer if no level has that many."""
TOWER_CONVOLUTIONS = 2
PRIOR = 0.01
"""Initial score of every cell and class (as in RetinaNet); otherwise the many negatives dominate the first steps."""
PRIOR_DISTANCE = 2.0
"""Initial distance to each side, in strides."""
LONGEST_LOG_DISTANCE = 10.0
"""Natural logarithm of the longest distance, in strides; keeps the exponential finite."""
BOX_WEIGHT = 2.0
"""Weight of the box loss relative to classification, as in TOOD."""
NMS_IOU = 0.6
NMS_CANDIDATES = 1000
"""Number of best (cell, class) pairs per image that enter non-maximum suppression."""
DRAWN_SCORE = 0.3
"""Objects with a lower score are not drawn."""


@dataclass(frozen=True)
class Cells:
    """The predictions of the cells of all levels, in one row."""

    levels: tuple[Level, ...]
    logits: Tensor
    """float32 [B, A, C]."""
    boxes: Tensor
    """float32 [B, A, 4]."""


@dataclass(frozen=True)
class Objects:
    """The true objects. Rows of padding and of unlabelled images are zeros."""

    boxes: Tensor
    """float32 [B, N, 4]."""
    classes: Tensor
    """int64 [B, N]."""
    learnt: Tensor
    """bool [B, N]."""
    crowd: Tensor
    """bool [B, N]: cells inside a crowd learn nothing unless they are assigned to an object."""
    beyond: Tensor
    """float32 [B, I, 4]: boxes of objects beyond the padded N, treated like crowds; zeros are padding."""


@dataclass(frozen=True)
class Detections:
    """Detected objects, best first; zeros where not `valid`."""

    cell: Tensor
    """int64 [B, M]: index into A."""
    boxes: Tensor
    """float32 [B, M, 4], inside the image."""
    scores: Tensor
    """float32 [B, M], 0 to 1."""
    classes: Tensor
    """int64 [B, M]."""
    valid: Tensor
    """bool [B, M]."""


class DenseBoxes(nn.Module):
    """The towers: feature maps of `channels` (by level) -> outputs of every cell."""

    def __init__(self, channels: Mapping[int, int], classes: int) -> None:
        super().__init__()
        self.levels = tuple(sorted(channels))
        self.width = min(WIDTH, max(channels.values()))
        """Channels of the towers' maps."""
        # Without a neck, levels differ in channels, but shared weights need the same number.
        unlike = {level: size for level, size in channels.items() if size != self.width}
        self.inputs = nn.ModuleDict({str(level): conv_norm(size, self.width, 1) for level, size in unlike.items()})
        self.class_tower, self.box_tower = tower(self.width), tower(self.width)
        self.class_output = nn.Conv2d(self.width, classes, 1)
        self.box_output = Float32Conv2d(self.width, 4, 1)
        self.log_scales = nn.Parameter(torch.full((len(self.levels),), math.log(PRIOR_DISTANCE)))
        for output, bias in ((self.class_output, math.log(PRIOR / (1 - PRIOR))), (self.box_output, 0.0)):
            nn.init.normal_(output.weight, std=0.01)
            assert output.bias is not None  # for the type checker: Conv2d has one unless told otherwise
            nn.init.constant_(output.bias, bias)

    def forward(self, features: Features) -> tuple[dict[str, Tensor], dict[int, Tensor]]:
        """Outputs, and the box tower's maps [B, width, h, w] by level, for further outputs.

        Outputs for each level i: "logits<i>" float32 [B, C, h, w]; "distances<i>" float32 [B, 4, h, w], pixels to the left, upper,
        right and lower side.
        """
        outputs, maps = {}, {}
        for index, level in enumerate(self.levels):
            x = features[level]
            if str(level) in self.inputs:
                x = self.inputs[str(level)](x)
            outputs[f"logits{level}"] = self.class_output(self.class_tower(x)).float()
            maps[level] = self.box_tower(x)
            log_distances = self.box_output(maps[level]) + self.log_scales[index].float()
            outputs[f"distances{level}"] = log_distances.clamp(max=LONGEST_LOG_DISTANCE).exp() * 2**level
        return outputs, maps

    def cells(self, outputs: Outputs) -> Cells:
        """All levels in one row, with distances converted to boxes."""
        levels, boxes = [], []
        for number in self.levels:
            distances = outputs[f"distances{number}"]
            level = Level(distances.shape[2], distances.shape[3], 2**number)
            centers = cell_centers(level, distances.device)
            before, after = distances.flatten(2).transpose(1, 2).split(2, dim=2)
            levels.append(level)
            boxes.append(torch.cat([centers - before, centers + after], dim=2))
        return Cells(tuple(levels), in_a_row(outputs, "logits", self.levels), torch.cat(boxes, dim=1))


def tower(width: int) -> nn.Sequential:
    """[B, width, h, w] -> [B, width, h, w]."""
    return nn.Sequential(*(conv_norm_relu(width, width, 3) for _ in range(TOWER_CONVOLUTIONS)))


def in_a_row(outputs: Outputs, name: str, levels: Sequence[int]) -> Tensor:
    """Outputs "<name><level>" [B, D, h, w] of all levels by cell: [B, A, D]."""
    return torch.cat([outputs[f"{name}{level}"].flatten(2).transpose(1, 2) for level in levels], dim=1)


def at_cells(values: Tensor, cell: Tensor) -> Tensor:
    """The predictions of some cells: [B, A, D] at int64 [B, ...] -> [B, ..., D]."""
    index = cell.flatten(1)[..., None].expand(-1, -1, values.shape[2])
    return values.gather(1, index).view(*cell.shape, values.shape[2])


def from_frame(places: Tensor, boxes: Tensor) -> Tensor:
    """Points [..., P, 2] in the frames of boxes [..., 4], (-1, -1) at the top left and (1, 1) at the bottom right -> pixels."""
    low, high = boxes[..., None, :].chunk(2, dim=-1)
    return (low + high) / 2 + places * (high - low) / 2


def objects_of(targets: Targets, labelled: Tensor) -> Objects:
    """Reads targets "boxes", "classes", "valid" and "crowd", and "beyond" if present."""
    real = targets["valid"] & labelled[:, None]
    crowd = real & targets["crowd"]
    boxes = torch.where(real[..., None], targets["boxes"].float(), 0)
    beyond = torch.where(labelled[:, None, None], targets["beyond"].float(), 0) if "beyond" in targets else boxes[:, :0]
    return Objects(boxes, torch.where(real, targets["classes"], 0), real & ~crowd, crowd, beyond)


@torch.no_grad()
def assign(cells: Cells, objects: Objects) -> Assignment:
    """Assigns cells to the objects that are learnt, by the cells' current predictions."""
    cell, allowed = candidates(objects.boxes, cells.levels)
    place = (cell * cells.logits.shape[2] + objects.classes[..., None]).flatten(1)
    score = cells.logits.flatten(1).gather(1, place).view(cell.shape).sigmoid()
    overlap = iou(at_cells(cells.boxes, cell), objects.boxes[:, :, None])
    return task_aligned(cell, allowed & objects.learnt[..., None], score, overlap, cells.boxes.shape[1])


def normaliser(assigned: Assignment) -> Tensor:
    """Divisor of the losses of the assigned cells: the sum of the scores they should predict, at least 1."""
    return assigned.quality.sum().clamp(min=1)


def box_losses(cells: Cells, objects: Objects, assigned: Assignment, labelled: Tensor) -> dict[str, Tensor]:
    """ "classification": quality focal loss over every cell and class except ignored ones; "boxes": 1 - GIoU over the cells
    assigned to an object, weighted by alignment. Both are divided by `normaliser`.
    """
    quality = _quality_map(assigned, objects.classes, cells.logits)
    counted = labelled[:, None, None] & ~(_ignored(objects, cells.levels)[..., None] & (quality == 0))
    classification = masked_sum(quality_focal_loss(cells.logits, quality), counted)

    distance = 1 - giou(at_cells(cells.boxes, assigned.cell), objects.boxes[:, :, None])
    box = masked_sum(distance * assigned.quality, assigned.taken)
    norm = normaliser(assigned)
    return {"classification": classification / norm, "boxes": BOX_WEIGHT * box / norm}


def detect(cells: Cells, image_size: tuple[int, int], max_detections: int, shapes: Tensor | None = None) -> Detections:
    """The best boxes after class-wise non-maximum suppression by the overlap of boxes, or of `shapes` [B, A, 4, 2] if given."""
    boxes = clip_boxes_to_image(cells.boxes, image_size)
    per_image = zip(cells.logits.sigmoid(), boxes, [None] * len(boxes) if shapes is None else shapes, strict=True)
    images = [_detect(*image, max_detections) for image in per_image]
    return Detections(*(torch.stack(parts) for parts in zip(*images, strict=True)))


def draw_boxes(canvas: Canvas, predictions: Predictions, index: int, classes: Sequence[str]) -> None:
    """Draw the boxes of batch entry `index` that score at least DRAWN_SCORE, with class and score, the best one on top."""
    chosen = predictions["valid"][index] & (predictions["scores"][index] >= DRAWN_SCORE)
    boxes, scores, labels = (predictions[key][index][chosen].flip(0).tolist() for key in ("boxes", "scores", "classes"))
    for box, score, label in zip(boxes, scores, labels, strict=True):
        canvas.box(box, with_score(classes[label], score), label)


def _ignored(objects: Objects, levels: Sequence[Level]) -> Tensor:
    """bool [B, A]: cells that could predict a crowd or an object beyond the padded N: all in its box, or at its centre."""
    boxes = torch.cat([objects.boxes, objects.beyond], dim=1)
    chosen = torch.cat([objects.crowd, (objects.beyond != 0).any(dim=2)], dim=1)
    # Boxes without a cell centre count too: most objects beyond N are small.
    return answering_cells(boxes, chosen, levels)


def _quality_map(assigned: Assignment, classes: Tensor, logits: Tensor) -> Tensor:
    """The score [B, A, C] that every cell should predict: its quality for its object's class, 0 for the others."""
    place = (assigned.cell * logits.shape[2] + classes[..., None]).flatten(1)
    empty = torch.zeros_like(logits).flatten(1)
    # The maximum, because entries that are not taken hold 0 and may coincide with those that are.
    return empty.scatter_reduce(1, place, assigned.quality.flatten(1), "amax").view(logits.shape)


def _detect(
    scores: Tensor, boxes: Tensor, shapes: Tensor | None, max_detections: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """One image: [A, C], [A, 4] and perhaps [A, 4, 2] -> cell, boxes, scores, classes, valid, each [M, ...]."""
    best = scores.flatten().topk(min(NMS_CANDIDATES, scores.numel()))
    cell, label = best.indices // scores.shape[1], best.indices % scores.shape[1]
    if shapes is None:
        # batched_nms separates classes by shifting boxes by multiples of the image size, which would cost float32 its fractions.
        kept = batched_nms(boxes[cell].double(), best.values.double(), label, NMS_IOU)
    else:
        kept = quads.non_maximum_suppression(shapes[cell], label, NMS_IOU)
    kept = kept[:max_detections]
    missing = max_detections - len(kept)
    valid = torch.arange(max_detections, device=scores.device) < len(kept)
    kept = F.pad(kept, (0, missing))
    cell = cell[kept] * valid
    return cell, boxes[cell] * valid[:, None], best.values[kept] * valid, label[kept] * valid, valid
