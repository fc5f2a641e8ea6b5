"""Semantic segmentation: a class for every pixel.

Method: the levels' fused map and its sub-cells (heads/fused_map.py: the semantic branch of Panoptic FPN, made cheaper) give a logit
for each class, trained by cross entropy.

Tried on eight images of 96 px with coloured rectangles, ResNet-18, levels 3 to 5, AdamW at 0.004 with cosine decay, one seed: one
1 × 1 convolution for all sub-cells of level 3, with no convolution at level 2, reached a mIoU of 0.90 after 100 iterations; this
head reached 0.96 after 104 of 130, so part of the gap may be the longer schedule.

Official metrics: mIoU and pixel accuracy from one confusion matrix over all labelled pixels of the split.

B images, C classes, H and W the image's sides, h and w those of the logits.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headrace_api.heads import SemanticSegmentation
from headrace_api.tasks import Task
from headrace_trainer.data.targets import IGNORE
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, levels_between, register
from headrace_trainer.heads.fused_map import FusedMap, SubCellOutput, to_image
from headrace_trainer.heads.scores import Score
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.drawing import Canvas, color_of
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.maps import ClassMapResults


class SemanticSegmentationHead(Head):
    """Outputs {"logits": float32 [B, C, h, w]}, which cover the image; predictions {"map": int64 [B, H, W]}, classes."""

    task = Task.SEMANTIC_SEGMENTATION
    needs = ("classes",)

    def __init__(self, channels: Mapping[int, int], labels: LabelSpace) -> None:
        super().__init__(sorted(channels), labels)
        self.map = FusedMap(channels)
        self.classify = SubCellOutput(self.map.width, len(self.classes))

    def forward(self, features: Features) -> Outputs:
        return {"logits": self.classify(self.map(features))}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets["map"]. "classification": cross entropy, mean over the labelled images' pixels that are not IGNORE."""
        truth = torch.where(labelled[:, None, None], targets["map"], IGNORE)
        logits = to_image(outputs["logits"], self.map.level, (truth.shape[1], truth.shape[2]))
        entropy = F.cross_entropy(logits, truth, ignore_index=IGNORE, reduction="sum")
        return {"classification": entropy / (truth != IGNORE).sum().clamp(min=1)}

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        return {"map": to_image(outputs["logits"], self.map.level, image_size).argmax(dim=1)}

    def metric(self) -> Metric:
        return SemanticSegmentationMetric(len(self.classes))

    def truth(self, targets: Targets) -> Predictions | None:
        return {"map": targets["map"]}

    def results(self, folder: Path, least_score: float) -> Results:
        return ClassMapResults(folder, self.labels, least_score)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """Classes as colours over the image, with the names of the four largest."""
        classes = predictions["map"][index].cpu().numpy()
        palette = np.asarray([color_of(number) for number in range(len(self.classes))], dtype=np.uint8)
        canvas = Canvas(image)
        known = classes != IGNORE
        canvas.overlay(palette[np.where(known, classes, 0)], opacity=0.5, where=known)
        numbers, pixels = np.unique(classes[known], return_counts=True)
        for place in np.argsort(-pixels)[:4]:
            canvas.caption(self.classes[numbers[place]], int(numbers[place]))
        return canvas.pixels()


class SemanticSegmentationMetric(Metric):
    """mIoU over the classes that occur in the truth or the predictions, and pixelAccuracy; NaN without a labelled pixel."""

    scores = (Score("mIoU"), Score("pixelAccuracy"))

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._confusion = torch.zeros(classes, classes, dtype=torch.int64)

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        truth = torch.where(labelled[:, None, None], targets["map"], IGNORE)
        # An extra cell takes the pixels that do not count: without boolean indexing there is no device synchronisation.
        cells = torch.where(truth == IGNORE, self._classes**2, truth * self._classes + predictions["map"]).flatten()
        counts = torch.zeros(self._classes**2 + 1, dtype=torch.int64, device=cells.device)
        counts.scatter_add_(0, cells, torch.ones_like(cells))
        self._confusion = self._confusion.to(cells.device) + counts[:-1].view(self._classes, self._classes)

    def compute(self) -> dict[str, float]:
        confusion = self._confusion.cpu().double()
        hits = confusion.diagonal()
        union = confusion.sum(dim=0) + confusion.sum(dim=1) - hits
        return {"mIoU": float((hits / union)[union > 0].mean()), "pixelAccuracy": float(hits.sum() / confusion.sum())}


@register(Task.SEMANTIC_SEGMENTATION)
def build(options: SemanticSegmentation, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on some of the levels of `channels`."""
    levels = levels_between(channels, options.bottom_level, options.top_level)
    return SemanticSegmentationHead({level: channels[level] for level in levels}, labels)
