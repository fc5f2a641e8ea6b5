"""Object detection.

Method: a dense, anchor-free head with weights shared between levels, trained by task-aligned assignment (heads/dense_boxes.py:
FCOS and TOOD).

Measured on eight images of 96 px with coloured rectangles, ResNet-18 from random weights, levels 3 to 5 and 2 to 4, AdamW at 0.002,
one seed each: AP is above 0.9 after 40 iterations and 1.0 after 60 and 80. A step with ResNet-50 at 320 px on four images took 7.8
s of CPU time on one thread (this loss 0.04 s or less), torchvision's FCOS 9.2 and 10.2 s; two steps each, on a busy AVX2 machine.

Official metric: COCO average precision over IoU 0.50 to 0.95, all sizes, at most 100 boxes per image
(https://cocodataset.org/#detection-eval), by faster-coco-eval, whose results match pycocotools. Measured in pixels of the network's
input, not of the original image: resizing both boxes does not change their IoU, even if the aspect ratio changes.

B images, C classes, M max detections. Boxes are x0, y0, x1, y1 in pixels of the network's input, half-open.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from headrace_api.heads import ObjectDetection
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, levels_between, register
from headrace_trainer.heads.dense_boxes import DenseBoxes, assign, box_losses, detect, draw_boxes, objects_of
from headrace_trainer.heads.scores import AVERAGE_PRECISION
from headrace_trainer.heads.truth import objects_as_predictions
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.coco_evaluation import Found, Truth, coco_average_precision
from headrace_trainer.ops.drawing import Canvas
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.objects import ObjectResults, box


class ObjectDetectionHead(Head):
    """Outputs for each level i: "logits<i>" float32 [B, C, h, w]; "distances<i>" float32 [B, 4, h, w], pixels to the left, upper,
    right and lower side.

    Predictions, best first: "boxes" float32 [B, M, 4] inside the image, "scores" float32 [B, M], 0 to 1, "classes" int64 [B, M],
    "valid" bool [B, M], False for padding.
    """

    task = Task.OBJECT_DETECTION
    needs = ("classes",)

    def __init__(self, channels: Mapping[int, int], labels: LabelSpace, max_detections: int) -> None:
        super().__init__(sorted(channels), labels)
        self.max_detections = max_detections
        self.dense = DenseBoxes(channels, len(self.classes))

    def forward(self, features: Features) -> Outputs:
        outputs: Outputs = self.dense(features)[0]
        return outputs

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets "boxes", "classes", "valid" and "crowd". Terms "classification" and "boxes", see `box_losses`."""
        cells = self.dense.cells(outputs)
        objects = objects_of(targets, labelled)
        return box_losses(cells, objects, assign(cells, objects), labelled)

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        found = detect(self.dense.cells(outputs), image_size, self.max_detections)
        return {"boxes": found.boxes, "scores": found.scores, "classes": found.classes, "valid": found.valid}

    def metric(self) -> Metric:
        return ObjectDetectionMetric(len(self.classes))

    def truth(self, targets: Targets) -> Predictions | None:
        return objects_as_predictions(targets, "boxes")

    def results(self, folder: Path, least_score: float) -> Results:
        return ObjectResults(folder, self.labels, least_score, box)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """The high-scoring boxes, with class and score; the best one on top."""
        canvas = Canvas(image)
        draw_boxes(canvas, predictions, index, self.classes)
        return canvas.pixels()


class ObjectDetectionMetric(Metric):
    """AP, AP50, AP75; NaN if no labelled image has an object that is not a crowd."""

    scores = AVERAGE_PRECISION

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
def build(options: ObjectDetection, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on some of the levels of `channels`."""
    levels = levels_between(channels, options.bottom_level, options.top_level)
    return ObjectDetectionHead({level: channels[level] for level in levels}, labels, options.max_detections)
