"""Object detection.

Method: a dense, anchor-free head with weights shared between levels: FCOS (Tian et al. 2019, https://arxiv.org/abs/1904.01355),
trained as TOOD (Feng et al. 2021, https://arxiv.org/abs/2108.07755) is. Every cell gives a score for each class and the distances
from its centre to the four sides of a box. Task-aligned assignment gives objects to the cells that already answer them best,
quality focal loss makes the score tell how well the box lies (so no centerness is needed), GIoU loss shapes the box. Differences
from TOOD: two plain convolutions a tower instead of its six with task-decomposing layers; candidates near the centre only
(ops.assignment).

Seen on eight images of 96 px with coloured rectangles, ResNet-18 from random weights, levels 3 to 5 and 2 to 4, AdamW at 0.002, one
seed each: AP is above 0.9 after 40 iterations and 1.0 after 60 and 80. A step with ResNet-50 at 320 px on four images took 7.8 s of
CPU time on one thread (this loss 0.04 s or less), torchvision's FCOS 9.2 and 10.2 s; two steps each, on a busy AVX2 machine.

Official metric: COCO average precision over IoU 0.50 to 0.95, all sizes, at most 100 boxes an image
(https://cocodataset.org/#detection-eval), by faster-coco-eval, which gives pycocotools' numbers. Measured in pixels of the
network's input, not of the original image: resizing both boxes alike changes no IoU, even where it changes the aspect ratio.

B images, N objects, C classes, A cells of all levels (lowest level first, row by row), K cells an object gets, M max detections.
Boxes are x0, y0, x1, y1 in pixels of the network's input, half-open.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms, clip_boxes_to_image

from headrace_api import model
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Predictions, Targets, levels_between, register
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.assignment import Assignment, candidates, task_aligned
from headrace_trainer.ops.boxes import giou, iou
from headrace_trainer.ops.coco import Found, Truth, coco_average_precision
from headrace_trainer.ops.drawing import Canvas
from headrace_trainer.ops.grid import Level, cell_centers, covered_cells
from headrace_trainer.ops.layers import conv_norm, conv_norm_relu
from headrace_trainer.ops.losses import masked_sum, quality_focal_loss

WIDTH = 256
"""Channels of the towers, as in FCOS; fewer where no level has so many."""
TOWER_CONVOLUTIONS = 2
PRIOR = 0.01
"""Score of every cell and class before anything is learnt (RetinaNet's), or the many negatives drown the first steps."""
PRIOR_DISTANCE = 2.0
"""Distance to each side before anything is learnt, in strides."""
LONGEST_LOG_DISTANCE = 10.0
"""Natural logarithm of the longest distance, in strides: keeps the exponential finite."""
BOX_WEIGHT = 2.0
"""Of the box loss beside the classification's, as in TOOD."""
NMS_IOU = 0.6
NMS_CANDIDATES = 1000
"""Best (cell, class) pairs of an image that non-maximum suppression looks at."""
DRAWN_SCORE = 0.3
"""Boxes that score less are left out of pictures."""


@dataclass(frozen=True)
class _Cells:
    """What the cells of all levels say, in one row."""

    levels: tuple[Level, ...]
    logits: Tensor
    """float32 [B, A, C]."""
    boxes: Tensor
    """float32 [B, A, 4]."""


class ObjectDetectionHead(Head):
    """Outputs for each level i: "logits<i>" float32 [B, C, h, w]; "distances<i>" float32 [B, 4, h, w], pixels to the left, upper,
    right and lower side.

    Predictions, best first: "boxes" float32 [B, M, 4] inside the image, "scores" float32 [B, M] in 0 to 1, "classes" int64 [B, M],
    "valid" bool [B, M], False where there is nothing but padding.
    """

    task = Task.OBJECT_DETECTION
    primary = "AP"
    needs = ("classes",)

    def __init__(self, channels: Mapping[int, int], labels: LabelSpace, max_detections: int) -> None:
        super().__init__(sorted(channels), labels)
        self.max_detections = max_detections
        width = min(WIDTH, max(channels.values()))
        # Without a neck levels differ in channels, and shared weights need them alike.
        unlike = {level: size for level, size in channels.items() if size != width}
        self.inputs = nn.ModuleDict({str(level): conv_norm(size, width, 1) for level, size in unlike.items()})
        self.class_tower = nn.Sequential(*(conv_norm_relu(width, width, 3) for _ in range(TOWER_CONVOLUTIONS)))
        self.box_tower = nn.Sequential(*(conv_norm_relu(width, width, 3) for _ in range(TOWER_CONVOLUTIONS)))
        self.class_output = nn.Conv2d(width, len(self.classes), 1)
        self.box_output = nn.Conv2d(width, 4, 1)
        self.log_scales = nn.Parameter(torch.full((len(self.levels),), math.log(PRIOR_DISTANCE)))
        for output, bias in ((self.class_output, math.log(PRIOR / (1 - PRIOR))), (self.box_output, 0.0)):
            nn.init.normal_(output.weight, std=0.01)
            assert output.bias is not None  # for the type checker: Conv2d has one unless told otherwise
            nn.init.constant_(output.bias, bias)

    def forward(self, features: Features) -> Outputs:
        outputs = {}
        for index, level in enumerate(self.levels):
            x = features[level]
            if str(level) in self.inputs:
                x = self.inputs[str(level)](x)
            outputs[f"logits{level}"] = self.class_output(self.class_tower(x)).float()
            log_distances = self.box_output(self.box_tower(x)).float() + self.log_scales[index].float()
            outputs[f"distances{level}"] = log_distances.clamp(max=LONGEST_LOG_DISTANCE).exp() * 2**level
        return outputs

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets "boxes", "classes", "valid" and "crowd".

        "classification": quality focal loss over every cell and class, but those in crowds; "boxes": 1 - GIoU of the cells that
        answer for an object, weighted by alignment. Both divided by the sum of the scores that cells should give, at least 1.
        """
        cells = self._cells(outputs)
        real = targets["valid"] & labelled[:, None]
        crowd = real & targets["crowd"]
        truth = torch.where(real[..., None], targets["boxes"].float(), 0)
        classes = torch.where(real, targets["classes"], 0)
        assigned = _assign(cells, truth, classes, real & ~crowd)
        norm = assigned.quality.sum().clamp(min=1)

        quality = _quality_map(assigned, classes, cells.logits)
        in_crowd = torch.cat([covered_cells(truth, crowd, level) for level in cells.levels], dim=1)
        counted = labelled[:, None, None] & ~(in_crowd[..., None] & (quality == 0))
        classification = masked_sum(quality_focal_loss(cells.logits, quality), counted) / norm

        distance = 1 - giou(_gather(cells.boxes, assigned.cell), truth[:, :, None])
        box = masked_sum(distance * assigned.quality, assigned.taken) / norm
        return {"classification": classification, "boxes": BOX_WEIGHT * box}

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        cells = self._cells(outputs)
        boxes = clip_boxes_to_image(cells.boxes, image_size)
        images = [self._detect(*image) for image in zip(cells.logits.sigmoid(), boxes, strict=True)]
        scores, found, classes, valid = (torch.stack(parts) for parts in zip(*images, strict=True))
        return {"boxes": found, "scores": scores, "classes": classes, "valid": valid}

    def metric(self) -> Metric:
        return ObjectDetectionMetric(len(self.classes))

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """The boxes that score at least DRAWN_SCORE, with class and score; the best one on top."""
        canvas = Canvas(image)
        chosen = predictions["valid"][index] & (predictions["scores"][index] >= DRAWN_SCORE)
        boxes, scores, classes = (predictions[key][index][chosen].flip(0).tolist() for key in ("boxes", "scores", "classes"))
        for box, score, label in zip(boxes, scores, classes, strict=True):
            canvas.box(box, f"{self.classes[label]} {score:.2f}", label)
        return canvas.pixels()

    def _cells(self, outputs: Outputs) -> _Cells:
        """All levels in one row, distances as boxes."""
        levels, logits, boxes = [], [], []
        for number in self.levels:
            distances = outputs[f"distances{number}"]
            level = Level(distances.shape[2], distances.shape[3], 2**number)
            centers = cell_centers(level, distances.device)
            before, after = distances.flatten(2).transpose(1, 2).split(2, dim=2)
            levels.append(level)
            boxes.append(torch.cat([centers - before, centers + after], dim=2))
            logits.append(outputs[f"logits{number}"].flatten(2).transpose(1, 2))
        return _Cells(tuple(levels), torch.cat(logits, dim=1), torch.cat(boxes, dim=1))

    def _detect(self, scores: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One image after class-wise non-maximum suppression: [A, C] and [A, 4] -> scores, boxes, classes, valid, each [M, ...]."""
        best = scores.flatten().topk(min(NMS_CANDIDATES, scores.numel()))
        cell, label = best.indices // scores.shape[1], best.indices % scores.shape[1]
        kept = batched_nms(boxes[cell], best.values, label, NMS_IOU)[: self.max_detections]
        missing = self.max_detections - len(kept)
        valid = torch.arange(self.max_detections, device=scores.device) < len(kept)
        kept = F.pad(kept, (0, missing))
        return best.values[kept] * valid, boxes[cell[kept]] * valid[:, None], label[kept] * valid, valid


@torch.no_grad()
def _assign(cells: _Cells, truth: Tensor, classes: Tensor, learnt: Tensor) -> Assignment:
    """Cells for the objects `learnt` bool [B, N] of `truth` [B, N, 4] and `classes` [B, N], by what the cells say now."""
    cell, allowed = candidates(truth, cells.levels)
    place = (cell * cells.logits.shape[2] + classes[..., None]).flatten(1)
    score = cells.logits.flatten(1).gather(1, place).view(cell.shape).sigmoid()
    overlap = iou(_gather(cells.boxes, cell), truth[:, :, None])
    return task_aligned(cell, allowed & learnt[..., None], score, overlap, cells.boxes.shape[1])


def _quality_map(assigned: Assignment, classes: Tensor, logits: Tensor) -> Tensor:
    """The score [B, A, C] that every cell should give each class: the quality of its object's, 0 for the others."""
    place = (assigned.cell * logits.shape[2] + classes[..., None]).flatten(1)
    empty = torch.zeros_like(logits).flatten(1)
    # The maximum, since places that are not taken say 0 and may coincide with those that are.
    return empty.scatter_reduce(1, place, assigned.quality.flatten(1), "amax").view(logits.shape)


def _gather(values: Tensor, cell: Tensor) -> Tensor:
    """[B, A, D] at [B, N, K] -> [B, N, K, D]."""
    index = cell.flatten(1)[..., None].expand(-1, -1, values.shape[2])
    return values.gather(1, index).view(*cell.shape, values.shape[2])


class ObjectDetectionMetric(Metric):
    """AP, AP50, AP75; NaN where no labelled image has an object that is not a crowd."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._truth: list[Truth] = []
        self._found: list[Found] = []

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        found = {key: predictions[key].cpu().numpy() for key in ("boxes", "scores", "classes", "valid")}
        truth = {key: targets[key].cpu().numpy() for key in ("boxes", "classes", "valid", "crowd")}
        for image in labelled.cpu().nonzero().flatten().tolist():
            there, given = truth["valid"][image], found["valid"][image]
            self._truth.append(Truth(*(truth[key][image][there] for key in ("boxes", "classes", "crowd"))))
            self._found.append(Found(*(found[key][image][given] for key in ("boxes", "classes", "scores"))))

    def compute(self) -> dict[str, float]:
        return coco_average_precision(self._truth, self._found, self._classes)


@register(Task.OBJECT_DETECTION)
def build(options: model.ObjectDetection, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on some of the levels of `channels`."""
    levels = levels_between(channels, options.bottom_level, options.top_level)
    return ObjectDetectionHead({level: channels[level] for level in levels}, labels, options.max_detections)
