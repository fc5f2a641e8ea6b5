"""Quadrilateral detection: the four corners of each object, in the order in which they are annotated, and its class.

Method: dense boxes as in object detection (heads/dense_boxes.py: FCOS and TOOD); besides its box, each cell regresses four corners
in the frame of that box (-1 to 1 inside), as in anchor-free text detectors (EAST's QUAD geometry, Zhou et al. 2017,
https://arxiv.org/abs/1704.03155). Why corners instead of a box with an angle: an angle jumps by a full turn somewhere and only fits
rectangles. Corners are not renumbered by position (top left first, say) either: the first corner would jump as an object turns,
which gradient descent cannot follow. The first corner is the one where reading begins, and the others follow clockwise, so the
targets move only as much as the object does.

Loss: smooth L1 of the corners' errors along and across the reading direction of the true quadrilateral, as shares of its width and
height. A thin line of text is thus learnt as precisely across as along, whatever its rotation; shares of its bounds would not
achieve that.

The bounds of an object's corners, which may extend outside the image, decide which cells are assigned to it and their scores.
Non-maximum suppression uses the overlap of the polygons themselves, because neighbouring tilted lines share most of their bounds.

Metric: COCO's average precision (https://cocodataset.org/#detection-eval; ops/average_precision.py) by the IoU of polygons
(ops/quad_overlap.py), over IoU 0.50 to 0.95; at most 100 predictions per class and image count. Any four corners are allowed:
concave, or with crossing sides (then the area of both triangles counts). Training annotations have no crossing sides
(data/targets/quad_geometry.py drops those), but predictions may.

B images, N objects, C classes, A cells of all levels, K cells per object, M max detections. Coordinates are x, y in pixels of the
network's input.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_api.heads import QuadrilateralDetection
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, levels_between, register
from headrace_trainer.heads.dense_boxes import (
    DRAWN_SCORE,
    DenseBoxes,
    assign,
    at_cells,
    box_losses,
    detect,
    from_frame,
    in_a_row,
    objects_of,
)
from headrace_trainer.heads.scores import AVERAGE_PRECISION
from headrace_trainer.heads.truth import objects_as_predictions
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops import quad_overlap as quads
from headrace_trainer.ops.average_precision import Likeness, average_precision
from headrace_trainer.ops.drawing import Canvas, with_score
from headrace_trainer.ops.layers import Float32Conv2d, conv_norm_relu
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.objects import ObjectResults, box_and_quad

CORNERS_WEIGHT = 2.0
"""Weight of the corner loss relative to classification, like that of the box loss."""
BETA = 0.05
"""Errors up to this share of the width or height count by their square."""
_BOX_CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))
"""Initial corners, in the frame of the box."""


class QuadrilateralDetectionHead(Head):
    """Outputs for each level i: "logits<i>" and "distances<i>" of dense boxes; "corners<i>" float32 [B, 8, h, w], x and y of each
    corner in the frame of the cell's box.

    Predictions, best first: "quads" float32 [B, M, 4, 2], corners in the order of the annotations, not clipped to the image;
    "scores" float32 [B, M], 0 to 1, "classes" int64 [B, M], "valid" bool [B, M], False for padding.
    """

    task = Task.QUADRILATERAL_DETECTION
    needs = ("classes",)

    def __init__(self, channels: Mapping[int, int], labels: LabelSpace, max_detections: int) -> None:
        super().__init__(sorted(channels), labels)
        self.max_detections = max_detections
        self.dense = DenseBoxes(channels, len(self.classes))
        self.tower = conv_norm_relu(self.dense.width, self.dense.width, 3)
        self.corners_output = Float32Conv2d(self.dense.width, 8, 1)
        nn.init.normal_(self.corners_output.weight, std=0.01)
        assert self.corners_output.bias is not None  # for the type checker: Conv2d has one unless told otherwise
        with torch.no_grad():
            self.corners_output.bias.copy_(torch.tensor(_BOX_CORNERS).flatten())

    def forward(self, features: Features) -> Outputs:
        outputs, maps = self.dense(features)
        corners = {f"corners{level}": self.corners_output(self.tower(x)) for level, x in maps.items()}
        return {**outputs, **corners}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets "quads", "classes", "valid" and "crowd".

        Terms: "classification" and "boxes" (`box_losses`, on the bounds of the corners), and "corners" (`corner_errors`), mean over
        the cells assigned to an object, weighted by alignment.
        """
        real = (targets["valid"] & labelled[:, None])[..., None, None]
        truth = torch.where(real, targets["quads"].float(), 0)
        cells, objects = self.dense.cells(outputs), objects_of({**targets, "boxes": quads.bounds(truth)}, labelled)
        assigned = assign(cells, objects)
        corners = in_a_row(outputs, "corners", self.levels)
        found = _in_pixels(at_cells(corners, assigned.cell), at_cells(cells.boxes, assigned.cell))
        errors = corner_errors(found, truth[:, :, None])
        each = F.smooth_l1_loss(errors, torch.zeros_like(errors), beta=BETA, reduction="none").sum(dim=-1).mean(dim=-1)
        weight = torch.where(assigned.taken, assigned.quality, 0)
        mean = (weight * each).sum() / weight.sum().clamp(min=1)
        return box_losses(cells, objects, assigned, labelled) | {"corners": CORNERS_WEIGHT * mean}

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        cells = self.dense.cells(outputs)
        everywhere = _in_pixels(in_a_row(outputs, "corners", self.levels), cells.boxes)
        found = detect(cells, image_size, self.max_detections, everywhere)
        chosen = at_cells(everywhere.flatten(2), found.cell).unflatten(-1, (4, 2)) * found.valid[..., None, None]
        return {"quads": chosen, "scores": found.scores, "classes": found.classes, "valid": found.valid}

    def metric(self) -> Metric:
        return QuadrilateralDetectionMetric(len(self.classes))

    def truth(self, targets: Targets) -> Predictions | None:
        return objects_as_predictions(targets, "quads")

    def results(self, folder: Path, least_score: float) -> Results:
        return ObjectResults(folder, self.labels, least_score, box_and_quad)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """Outlines of high-scoring objects with a dot at the first corner, class and score; the best one on top."""
        canvas = Canvas(image)
        chosen = predictions["valid"][index] & (predictions["scores"][index] >= DRAWN_SCORE)
        corners, scores, labels = (predictions[key][index][chosen].flip(0).tolist() for key in ("quads", "scores", "classes"))
        for quad, score, label in zip(corners, scores, labels, strict=True):
            canvas.polygon(quad, with_score(self.classes[label], score), label)
        return canvas.pixels()


class QuadrilateralDetectionMetric(Metric):
    """AP, AP50, AP75 by the IoU of polygons; NaN if no labelled image has an object that is not a crowd."""

    scores = AVERAGE_PRECISION

    def __init__(self, classes: int) -> None:
        self._images: list[list[Likeness]] = [[] for _ in range(classes)]
        """By class, the images with an object or a prediction of it."""

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        found = {key: predictions[key].cpu() for key in ("quads", "scores", "classes", "valid")}
        truth = {key: targets[key].cpu() for key in ("quads", "classes", "valid", "crowd")}
        for image in labelled.cpu().nonzero().flatten().tolist():
            given = {key: value[image][found["valid"][image]] for key, value in found.items()}
            there = {key: value[image][truth["valid"][image]] for key, value in truth.items()}
            for label in torch.cat([given["classes"], there["classes"]]).unique().tolist():
                answers, objects = given["classes"] == label, there["classes"] == label
                crowd = there["crowd"][objects]
                likeness = quads.likeness(given["quads"][answers].double(), there["quads"][objects].double(), crowd)
                self._images[label].append(Likeness(given["scores"][answers].numpy(), likeness.numpy(), crowd.numpy()))

    def compute(self) -> dict[str, float]:
        return average_precision(self._images)


def corner_errors(found: Tensor, truth: Tensor) -> Tensor:
    """Errors of corners: [..., 4, 2] and [..., 4, 2] -> [..., 4, 2], along and across the reading direction of the true ones.

    As shares of the true quadrilateral's width (the mean of its upper and lower side) and height (across that), each at least one
    pixel.
    """
    first, second, third, fourth = truth.unbind(dim=-2)
    along = (second - first + third - fourth) / 2
    down = (fourth - first + third - second) / 2
    width = along.norm(dim=-1, keepdim=True).clamp(min=1)
    along = along / width
    across = torch.stack([-along[..., 1], along[..., 0]], dim=-1)
    height = (down * across).sum(dim=-1, keepdim=True).abs().clamp(min=1)
    off = found - truth
    errors = [(off * axis[..., None, :]).sum(dim=-1) / size for axis, size in ((along, width), (across, height))]
    return torch.stack(errors, dim=-1)


def _in_pixels(corners: Tensor, boxes: Tensor) -> Tensor:
    """[..., 8] in the frames of boxes [..., 4] (detached: corners do not train boxes) -> [..., 4, 2]."""
    return from_frame(corners.unflatten(-1, (4, 2)), boxes.detach())


@register(Task.QUADRILATERAL_DETECTION)
def build(options: QuadrilateralDetection, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on some of the levels of `channels`."""
    levels = levels_between(channels, options.bottom_level, options.top_level)
    return QuadrilateralDetectionHead({level: channels[level] for level in levels}, labels, options.max_detections)
