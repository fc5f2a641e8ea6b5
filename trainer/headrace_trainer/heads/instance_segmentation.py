"""Instance segmentation: a mask, a box and a class for each object.

Method: dense boxes as in object detection (heads/dense_boxes.py: FCOS and TOOD), and for each of them a mask from its own tiny
network on one fused map of the image (heads/dynamic_masks.py: CondInst; heads/fused_map.py).

Official metric: COCO average precision of masks over IoU 0.50 to 0.95, all sizes, at most 100 masks per image
(https://cocodataset.org/#detection-eval), by faster-coco-eval, whose results match pycocotools. Measured in pixels of the network's
input, not of the original image.

B images, N objects, C classes, A cells of all levels, M max detections, H and W the image's sides, h and w the fused map's.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headrace_api.heads import InstanceSegmentation
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, levels_between, register
from headrace_trainer.heads.dense_boxes import DRAWN_SCORE, DenseBoxes, assign, box_losses, detect, draw_boxes, objects_of
from headrace_trainer.heads.dynamic_masks import DynamicMasks, choose
from headrace_trainer.heads.fused_map import FusedMap
from headrace_trainer.heads.scores import AVERAGE_PRECISION
from headrace_trainer.heads.truth import objects_as_predictions
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.coco_evaluation import Found, Truth, coco_average_precision, run_lengths
from headrace_trainer.ops.drawing import Canvas, color_of
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.objects import ObjectResults, box_and_mask


class InstanceSegmentationHead(Head):
    """Outputs for each level i: "logits<i>" and "distances<i>" of dense boxes, "kernels<i>" float32 [B, ..., h_i, w_i]; shared by
    all levels: "masks" float32 [B, F, h, w].

    Predictions, best first: "boxes" float32 [B, M, 4] inside the image, "scores" float32 [B, M], 0 to 1, "classes" int64 [B, M],
    "masks" bool [B, M, H, W], "valid" bool [B, M], False for padding.
    """

    task = Task.INSTANCE_SEGMENTATION
    needs = ("classes",)

    def __init__(self, channels: Mapping[int, int], labels: LabelSpace, max_detections: int) -> None:
        super().__init__(sorted(channels), labels)
        self.max_detections = max_detections
        self.dense = DenseBoxes(channels, len(self.classes))
        self.map = FusedMap(channels)
        self.masks = DynamicMasks(self.dense, self.map)

    def forward(self, features: Features) -> Outputs:
        outputs, box_maps = self.dense(features)
        return {**outputs, **self.masks(box_maps, self.map(features))}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets "boxes", "classes", "valid", "crowd" and "masks".

        Terms "classification" and "boxes" (`box_losses`), "dice" and "edges" (`DynamicMasks.losses`).
        """
        cells, objects = self.dense.cells(outputs), objects_of(targets, labelled)
        assigned = assign(cells, objects)
        chosen = choose(assigned)
        logits = self.masks.logits(outputs, cells, chosen.cell)
        image = torch.arange(len(labelled), device=labelled.device)[:, None]
        truth, boxes = targets["masks"][image, chosen.object], objects.boxes[image, chosen.object]
        return box_losses(cells, objects, assigned, labelled) | self.masks.losses(logits, truth, boxes, chosen.taken)

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        # Image by image, because the float32 masks of all detections take the most memory (105 MB for 100 of 512 × 512 pixels).
        batch = len(outputs["masks"])
        images = [self._decode_one({key: x[i : i + 1] for key, x in outputs.items()}, image_size) for i in range(batch)]
        return {key: torch.cat([image[key] for image in images]) for key in images[0]}

    def metric(self) -> Metric:
        return InstanceSegmentationMetric(len(self.classes))

    def truth(self, targets: Targets) -> Predictions | None:
        return objects_as_predictions(targets, "boxes", "masks")

    def results(self, folder: Path, least_score: float) -> Results:
        return ObjectResults(folder, self.labels, least_score, box_and_mask)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """Masks and boxes of high-scoring objects, with class and score; the best one on top."""
        canvas = Canvas(image)
        chosen = predictions["valid"][index] & (predictions["scores"][index] >= DRAWN_SCORE)
        masks, labels = (predictions[key][index][chosen].flip(0).cpu().numpy() for key in ("masks", "classes"))
        colors = np.zeros_like(image)
        for mask, label in zip(masks, labels.tolist(), strict=True):
            colors[mask] = color_of(label)
        canvas.overlay(colors, opacity=0.5, where=np.asarray(masks.any(axis=0)))
        draw_boxes(canvas, predictions, index, self.classes)
        return canvas.pixels()

    def _decode_one(self, outputs: Outputs, size: tuple[int, int]) -> dict[str, Tensor]:
        """Predictions of a batch of one image."""
        cells = self.dense.cells(outputs)
        found = detect(cells, size, self.max_detections)
        masks = self.masks.probabilities(self.masks.logits(outputs, cells, found.cell), size) > 0.5
        return {
            "boxes": found.boxes,
            "scores": found.scores,
            "classes": found.classes,
            "masks": masks & found.valid[..., None, None],
            "valid": found.valid,
        }


class InstanceSegmentationMetric(Metric):
    """AP, AP50, AP75 of masks; NaN if no labelled image has an object that is not a crowd. Keeps masks as run lengths."""

    scores = AVERAGE_PRECISION

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._truth: list[Truth] = []
        self._found: list[Found] = []

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        found = {key: predictions[key].cpu().numpy() for key in ("boxes", "scores", "classes", "valid", "masks")}
        truth = {key: targets[key].cpu().numpy() for key in ("boxes", "classes", "valid", "crowd", "masks")}
        for image in labelled.cpu().nonzero().flatten().tolist():
            there, given = truth["valid"][image], found["valid"][image]
            boxes, classes, crowd, masks = (truth[key][image][there] for key in ("boxes", "classes", "crowd", "masks"))
            self._truth.append(Truth(boxes, classes, crowd, run_lengths(masks)))
            boxes, classes, scores, masks = (found[key][image][given] for key in ("boxes", "classes", "scores", "masks"))
            self._found.append(Found(boxes, classes, scores, run_lengths(masks)))

    def compute(self) -> dict[str, float]:
        return coco_average_precision(self._truth, self._found, self._classes)


@register(Task.INSTANCE_SEGMENTATION)
def build(options: InstanceSegmentation, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on some of the levels of `channels`."""
    levels = levels_between(channels, options.bottom_level, options.top_level)
    return InstanceSegmentationHead({level: channels[level] for level in levels}, labels, options.max_detections)
