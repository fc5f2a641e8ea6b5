"""Keypoint detection: the named points of each object, with its box and class.

Method: dense boxes as in object detection (heads/dense_boxes.py: FCOS and TOOD); besides its box, each cell regresses all keypoints
of its object in the frame of that box (-1 to 1 inside), as in YOLO-Pose (Maji et al. 2022, https://arxiv.org/abs/2204.06806). Why
this method: keypoints never need grouping, run time does not grow with the number of objects, and there is no heat map whose cells
limit precision. Top-down networks with a heat map per object score higher on COCO, but run a second network for every object.

Loss: smooth L1 of each keypoint's error in units of its own tolerance, 2 sigma sqrt(area), the scale that OKS uses: keypoints that
people place precisely are learnt precisely. YOLO-Pose minimises 1 - OKS itself, which is flat beyond a few tolerances, where every
keypoint starts that is not at its box's centre. On eight digit scenes of 64 px (ResNet-18 from random weights, 130 iterations, one
seed each), AP is 0.27 with 1 - OKS alone, 0.89 with both, 0.95 with smooth L1 alone; on eight COCO photographs of 12 persons at
96 px, it is 1.0 after 150 iterations at levels 3 to 5.

Keypoint scores are learnt by cross entropy: a keypoint is present if it is labelled, visible or hidden. Objects without a labelled
keypoint train neither positions nor scores.

Official metric: COCO's average precision by object keypoint similarity over OKS 0.50 to 0.95, all sizes, at most 20 objects per
class and image (https://cocodataset.org/#keypoints-eval), by faster-coco-eval, whose results match pycocotools. Measured in pixels
of the network's input, not of the original image.

B images, N objects, C classes, P keypoints of an object, A cells of all levels, K cells per object, M max detections. Boxes are
x0, y0, x1, y1 and keypoints x, y, in pixels of the network's input.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_api.heads import KeypointDetection
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, levels_between, register
from headrace_trainer.heads.dense_boxes import (
    DRAWN_SCORE,
    Cells,
    DenseBoxes,
    assign,
    at_cells,
    box_losses,
    detect,
    draw_boxes,
    from_frame,
    in_a_row,
    objects_of,
)
from headrace_trainer.heads.scores import AVERAGE_PRECISION
from headrace_trainer.heads.truth import certain, objects_as_predictions
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.coco_evaluation import Found, Truth, oks_average_precision
from headrace_trainer.ops.drawing import Canvas
from headrace_trainer.ops.layers import Float32Conv2d, conv_norm_relu
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.objects import ObjectResults, box_and_keypoints

KEYPOINTS_WEIGHT = 0.2
"""Weight of an error of one tolerance relative to the classification loss."""
BETA = 0.5
"""Errors up to this many tolerances count by their square."""
DRAWN_KEYPOINT_SCORE = 0.5
"""Keypoints with a lower score are not drawn."""


class KeypointDetectionHead(Head):
    """Outputs for each level i: "logits<i>" and "distances<i>" of dense boxes; "points<i>" float32 [B, 3 P, h, w], x and y of each
    keypoint in the frame of the cell's box, and the logit of its score.

    Predictions, best first: "boxes" float32 [B, M, 4] inside the image, "scores" float32 [B, M], 0 to 1, "classes" int64 [B, M],
    "keypoints" float32 [B, M, P, 2], not clipped to the image, "keypoint_scores" float32 [B, M, P], 0 to 1, "valid" bool [B, M],
    False for padding.
    """

    task = Task.KEYPOINT_DETECTION
    needs = ("classes", "keypoints")
    tolerances: Tensor
    """float32 [P]: 2 sigma, as a share of the square root of an object's area."""

    def __init__(self, channels: Mapping[int, int], labels: LabelSpace, max_detections: int) -> None:
        super().__init__(sorted(channels), labels)
        self.max_detections = max_detections
        self.dense = DenseBoxes(channels, len(self.classes))
        self.tower = conv_norm_relu(self.dense.width, self.dense.width, 3)
        self.points_output = Float32Conv2d(self.dense.width, 3 * len(labels.keypoints), 1)
        nn.init.normal_(self.points_output.weight, std=0.01)
        assert self.points_output.bias is not None  # for the type checker: Conv2d has one unless told otherwise
        nn.init.zeros_(self.points_output.bias)
        self.register_buffer("tolerances", 2 * torch.tensor(labels.sigmas), persistent=False)

    def forward(self, features: Features) -> Outputs:
        outputs, maps = self.dense(features)
        return {**outputs, **{f"points{level}": self.points_output(self.tower(x)) for level, x in maps.items()}}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets "boxes", "classes", "valid", "crowd", "keypoints", "visibility" and "area".

        Terms: "classification" and "boxes" (`box_losses`); "keypoints", mean over labelled keypoints, and "visibility", mean over
        all keypoints, both over the cells assigned to an object with a labelled keypoint, weighted by alignment.
        """
        cells, objects = self.dense.cells(outputs), objects_of(targets, labelled)
        assigned = assign(cells, objects)
        points, seen = self._points(outputs, cells, assigned.cell)
        shown = objects.learnt[..., None] & (targets["visibility"] > 0)
        truth = torch.where(shown[..., None], targets["keypoints"].float(), 0)
        area = torch.where(objects.learnt, targets["area"].float(), 1).clamp(min=1)
        tolerance = area.sqrt()[..., None] * self.tolerances
        error = (points - truth[:, :, None]) / tolerance[:, :, None, :, None]
        distance = F.smooth_l1_loss(error, torch.zeros_like(error), beta=BETA, reduction="none").sum(dim=-1)
        each = torch.where(shown[:, :, None], distance, 0).sum(dim=-1) / shown.sum(dim=-1).clamp(min=1)[..., None]
        entropy = F.binary_cross_entropy_with_logits(seen, shown[:, :, None].expand_as(seen).float(), reduction="none").mean(dim=-1)
        weight = torch.where(assigned.taken & shown.any(dim=-1)[..., None], assigned.quality, 0)
        norm = weight.sum().clamp(min=1)
        return box_losses(cells, objects, assigned, labelled) | {
            "keypoints": KEYPOINTS_WEIGHT * (weight * each).sum() / norm,
            "visibility": (weight * entropy).sum() / norm,
        }

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        cells = self.dense.cells(outputs)
        found = detect(cells, image_size, self.max_detections)
        points, seen = self._points(outputs, cells, found.cell)
        return {
            "boxes": found.boxes,
            "scores": found.scores,
            "classes": found.classes,
            "keypoints": points * found.valid[..., None, None],
            "keypoint_scores": seen.sigmoid() * found.valid[..., None],
            "valid": found.valid,
        }

    def metric(self) -> Metric:
        return KeypointDetectionMetric(len(self.classes), self.labels.sigmas)

    def truth(self, targets: Targets) -> Predictions | None:
        objects = objects_as_predictions(targets, "boxes", "keypoints")
        return {**objects, "keypoint_scores": certain(targets["visibility"] > 0)}

    def results(self, folder: Path, least_score: float) -> Results:
        return ObjectResults(folder, self.labels, least_score, box_and_keypoints)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """Boxes of high-scoring objects, with class and score, and their high-scoring keypoints with the skeleton's lines."""
        canvas = Canvas(image)
        draw_boxes(canvas, predictions, index, self.classes)
        chosen = predictions["valid"][index] & (predictions["scores"][index] >= DRAWN_SCORE)
        parts = (predictions[key][index][chosen].flip(0) for key in ("keypoints", "keypoint_scores", "classes"))
        for points, scores, label in zip(*(part.tolist() for part in parts), strict=True):
            self._draw_keypoints(canvas, points, [score >= DRAWN_KEYPOINT_SCORE for score in scores], label)
        return canvas.pixels()

    def _points(self, outputs: Outputs, cells: Cells, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions of some cells (int64 [B, ...]): keypoints [B, ..., P, 2] in pixels and their score logits [B, ..., P]."""
        said = at_cells(in_a_row(outputs, "points", self.levels), cell).unflatten(-1, (-1, 3))
        # Detached: keypoints do not train the boxes.
        return from_frame(said[..., :2], at_cells(cells.boxes.detach(), cell)), said[..., 2]

    def _draw_keypoints(self, canvas: Canvas, points: Sequence[Sequence[float]], shown: Sequence[bool], label: int) -> None:
        """Draw one object: lines in the colour of its class, dots in one colour per keypoint."""
        for start, end in self.labels.skeleton:
            if shown[start] and shown[end]:
                canvas.line(points[start], points[end], label)
        for number, point in enumerate(points):
            if shown[number]:
                canvas.dot(point, number)


class KeypointDetectionMetric(Metric):
    """AP, AP50, AP75 by OKS; NaN if no labelled image has an object with a labelled keypoint that is not a crowd."""

    scores = AVERAGE_PRECISION

    def __init__(self, classes: int, sigmas: Sequence[float]) -> None:
        self._classes, self._sigmas = classes, sigmas
        self._truth: list[Truth] = []
        self._found: list[Found] = []

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        parts_found = ("boxes", "classes", "scores", "valid", "keypoints", "keypoint_scores")
        parts_true = ("boxes", "classes", "crowd", "valid", "keypoints", "visibility", "area")
        found = {key: predictions[key].cpu().numpy() for key in parts_found}
        truth = {key: targets[key].cpu().numpy() for key in parts_true}
        for image in labelled.cpu().nonzero().flatten().tolist():
            there = {key: value[image][truth["valid"][image]] for key, value in truth.items()}
            triples = np.concatenate([there["keypoints"], there["visibility"][..., None]], axis=-1)
            self._truth.append(Truth(there["boxes"], there["classes"], there["crowd"], keypoints=triples, areas=there["area"]))
            given = {key: value[image][found["valid"][image]] for key, value in found.items()}
            triples = np.concatenate([given["keypoints"], given["keypoint_scores"][..., None]], axis=-1)
            self._found.append(Found(given["boxes"], given["classes"], given["scores"], keypoints=triples))

    def compute(self) -> dict[str, float]:
        return oks_average_precision(self._truth, self._found, self._classes, self._sigmas)


@register(Task.KEYPOINT_DETECTION)
def build(options: KeypointDetection, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on some of the levels of `channels`."""
    levels = levels_between(channels, options.bottom_level, options.top_level)
    return KeypointDetectionHead({level: channels[level] for level in levels}, labels, options.max_detections)
