"""Multilabel classification: any number of labels per image.

Method: average and maximum pooling side by side (timm's `catavgmax`, https://github.com/huggingface/pytorch-image-models), one
linear layer, and binary cross entropy per class. The maximum preserves labels that depend on one small object, which the average
dilutes over the whole map.

Official metrics: mAP, the macro mean of scikit-learn's average precision over classes that occur; macro F1 at 0.5.

B images, C classes, D channels.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from headrace_api.heads import MultilabelClassification
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, register, single_level
from headrace_trainer.heads.scores import Score
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.drawing import Canvas, with_score
from headrace_trainer.ops.losses import masked_sum
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.tables import LabelSetResults

THRESHOLD = 0.5
"""Labels with at least this score count as predicted, in macro F1 and pictures."""
PRIOR = 0.1
"""Initial probability of every label."""


class MultilabelClassificationHead(Head):
    """Outputs {"logits": float32 [B, C]}; predictions {"scores": float32 [B, C]}, each 0 to 1."""

    task = Task.MULTILABEL_CLASSIFICATION
    needs = ("classes",)

    def __init__(self, level: int, channels: int, labels: LabelSpace) -> None:
        super().__init__([level], labels)
        self.linear = nn.Linear(2 * channels, len(self.classes))
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.constant_(self.linear.bias, float(np.log(PRIOR / (1 - PRIOR))))

    def forward(self, features: Features) -> Outputs:
        x = features[self.levels[0]]
        pooled = torch.cat([x.mean(dim=(-2, -1)), x.amax(dim=(-2, -1))], dim=1)
        return {"logits": self.linear(pooled).float()}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets["labels"]. "classification": binary cross entropy, summed and divided by the number of positive labels
        (or of labelled images, if that is more).

        Not the mean over classes: with many classes, nearly all absent, it would be negligible beside other heads' losses.
        """
        labels = torch.where(labelled[:, None], targets["labels"].float(), 0)
        entropy = F.binary_cross_entropy_with_logits(outputs["logits"], labels, reduction="none")
        count = torch.maximum(labels.sum(), labelled.sum()).clamp(min=1)
        return {"classification": masked_sum(entropy, labelled[:, None]) / count}

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:  # noqa: ARG002 - labels have no place
        return {"scores": outputs["logits"].sigmoid()}

    def metric(self) -> Metric:
        return MultilabelClassificationMetric()

    def truth(self, targets: Targets) -> Predictions | None:
        return {"scores": targets["labels"]}

    def results(self, folder: Path, least_score: float) -> Results:
        return LabelSetResults(folder, self.labels, least_score)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """The predicted labels, most certain first, at most eight; "no label" if there are none."""
        scores = predictions["scores"][index].tolist()
        given = sorted((label for label, score in enumerate(scores) if score >= THRESHOLD), key=lambda label: -scores[label])
        canvas = Canvas(image)
        for label in given[:8]:
            canvas.caption(with_score(self.classes[label], scores[label]), label)
        if not given:
            canvas.caption("no label")
        return canvas.pixels()


class MultilabelClassificationMetric(Metric):
    """mAP over classes that occur, macroF1 at 0.5 over classes that occur or are predicted; NaN if there is no such class."""

    scores = (Score("mAP"), Score("macroF1"))

    def __init__(self) -> None:
        self._scores: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        self._scores.append(predictions["scores"][labelled])
        self._labels.append(targets["labels"][labelled] > 0.5)

    def compute(self) -> dict[str, float]:
        if not sum(len(scores) for scores in self._scores):
            return {"mAP": float("nan"), "macroF1": float("nan")}
        scores = torch.cat(self._scores).double().cpu().numpy()
        labels = torch.cat(self._labels).cpu().numpy()
        occurs = labels.any(axis=0)
        precisions = [average_precision_score(labels[:, label], scores[:, label]) for label in np.flatnonzero(occurs)]
        given = scores >= THRESHOLD
        hits, answers = (labels & given).sum(axis=0), labels.sum(axis=0) + given.sum(axis=0)
        f1 = 2 * hits[answers > 0] / answers[answers > 0]
        return {"mAP": _mean(np.asarray(precisions)), "macroF1": _mean(f1)}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


@register(Task.MULTILABEL_CLASSIFICATION)
def build(options: MultilabelClassification, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on one of the levels of `channels`."""
    level = single_level(channels, options.level)
    return MultilabelClassificationHead(level, channels[level], labels)
