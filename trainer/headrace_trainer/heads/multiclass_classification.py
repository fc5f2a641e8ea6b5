"""Multiclass classification: one label per image.

Method: global average pooling and one linear layer (He et al. 2015, https://arxiv.org/abs/1512.03385) with softmax cross entropy
and optional label smoothing (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567). With a strong backbone, more layers add
nothing.

If the classes are ordinal, the layer predicts for each step of the scale whether the label is above it, given that it is above all
earlier steps (continuation ratios; for deep networks CORN, Shi et al. 2021, https://arxiv.org/abs/2111.08851). The products are
class probabilities that sum to 1 by construction, so loss and decoding do not change; CORAL (Cao et al. 2019,
https://arxiv.org/abs/1901.07884) has to share one weight vector among all steps for that.

Official metrics: top-1 and top-5 accuracy, macro F1, and the expected calibration error over 15 bins of equal width (Guo et al.
2017, https://arxiv.org/abs/1706.04599); for ordinal classes also the mean absolute error, in steps, of the median class.

B images, C classes.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_api.errors import FatalError
from headrace_api.heads import MulticlassClassification
from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_api.trainingjob import Better
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, register, single_level
from headrace_trainer.heads.scores import Score
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.drawing import Canvas, with_score
from headrace_trainer.ops.losses import masked_sum
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.tables import LabelResults

CALIBRATION_BINS = 15


class MulticlassClassificationHead(Head):
    """Outputs {"logits": float32 [B, C]}, log probabilities if `ordinal`; predictions {"probabilities": float32 [B, C]}; rows sum
    to 1.

    Raises FatalError(BAD_DATASET) if `ordinal` and there are fewer than two classes.
    """

    task = Task.MULTICLASS_CLASSIFICATION
    needs = ("classes",)

    def __init__(self, level: int, channels: int, labels: LabelSpace, label_smoothing: float, ordinal: bool) -> None:
        super().__init__([level], labels)
        self.label_smoothing = label_smoothing
        self.ordinal = ordinal
        if ordinal and len(self.classes) < 2:
            raise FatalError(
                Reason.BAD_DATASET,
                f"`ordinal` needs at least two classes, but there is only '{self.classes[0]}': list all steps of the scale in the "
                "layer's `classes`, or leave out `ordinal`",
            )
        self.linear = nn.Linear(channels, len(self.classes) - int(ordinal))
        nn.init.normal_(self.linear.weight, std=0.01)

    def forward(self, features: Features) -> Outputs:
        pooled = features[self.levels[0]].mean(dim=(-2, -1))
        logits = self.linear(pooled).float()
        return {"logits": _of_continuation_ratios(logits) if self.ordinal else logits}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets["label"]. "classification": cross entropy, mean over labelled images."""
        label = torch.where(labelled, targets["label"], 0)
        entropy = F.cross_entropy(outputs["logits"], label, reduction="none", label_smoothing=self.label_smoothing)
        return {"classification": masked_sum(entropy, labelled) / labelled.sum().clamp(min=1)}

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:  # noqa: ARG002 - labels have no place
        return {"probabilities": outputs["logits"].softmax(dim=1)}

    def metric(self) -> Metric:
        return MulticlassClassificationMetric(len(self.classes), self.ordinal)

    def truth(self, targets: Targets) -> Predictions | None:
        return {"probabilities": F.one_hot(targets["label"], len(self.classes)).float()}

    def results(self, folder: Path, least_score: float) -> Results:
        return LabelResults(folder, self.labels, least_score)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """The most probable class with its probability, and up to two more unless they would read 0.00."""
        probabilities = predictions["probabilities"][index]
        best = probabilities.topk(min(3, max(1, int((probabilities >= 0.005).sum()))))
        canvas = Canvas(image)
        for value, label in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            canvas.caption(with_score(self.classes[label], value), label)
        return canvas.pixels()


def _of_continuation_ratios(logits: Tensor) -> Tensor:
    """Log probabilities [B, C] of the classes from the logits [B, C - 1] of being above each step, given all earlier steps."""
    above, not_above = F.logsigmoid(logits), F.logsigmoid(-logits)
    return F.pad(above.cumsum(dim=1), (1, 0)) + F.pad(not_above, (0, 1))


class MulticlassClassificationMetric(Metric):
    """top1, top5 (ties in order of class number), macroF1, calibrationError, and for ordinal classes meanAbsoluteError; NaN without
    labelled images.

    macroF1 is the mean over classes that some image has as label or prediction. Keeps constant-size sums on the device.
    """

    scores: tuple[Score, ...] = (Score("top1"), Score("top5"), Score("macroF1"), Score("calibrationError", Better.LOWER))

    def __init__(self, classes: int, ordinal: bool = False) -> None:
        self._ordinal = ordinal
        if ordinal:
            self.scores += (Score("meanAbsoluteError", Better.LOWER, "classes"),)
        self._steps = torch.zeros((), dtype=torch.float64)
        # Rows: right predictions, labels, predictions, per class. Accuracy and F1 need no more of the confusion matrix.
        self._counts = torch.zeros(3, classes, dtype=torch.float64)
        self._top5 = torch.zeros((), dtype=torch.float64)
        self._bins = torch.zeros(3, CALIBRATION_BINS, dtype=torch.float64)

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        probabilities = predictions["probabilities"][labelled].double()
        label = targets["label"][labelled]
        self._to(probabilities.device)
        confidence, answer = probabilities.max(dim=1)
        right = (answer == label).double()
        for row, (place, value) in enumerate(((label, right), (label, torch.ones_like(right)), (answer, torch.ones_like(right)))):
            self._counts[row].index_add_(0, place, value)
        ranked = probabilities.argsort(dim=1, descending=True, stable=True)[:, :5]
        self._top5 += (ranked == label[:, None]).any(dim=1).sum()
        self._bins += _calibration_bins(confidence, answer == label)
        # The first class that reaches half of the cumulative probability: the prediction with the least expected error.
        median = (probabilities.cumsum(dim=1) < 0.5).sum(dim=1).clamp(max=probabilities.shape[1] - 1)
        self._steps += (median - label).abs().sum()

    def compute(self) -> dict[str, float]:
        hits, labels, answers = self._counts.cpu()
        total = labels.sum()
        f1 = (2 * hits / (answers + labels))[answers + labels > 0]
        _, correct, confidence = self._bins.cpu()
        gap = (correct - confidence).abs().sum() / total
        scores = {
            "top1": float(hits.sum() / total),
            "top5": float(self._top5.cpu() / total),
            "macroF1": float(f1.mean()),
            "calibrationError": float(gap),
        }
        return scores | ({"meanAbsoluteError": float(self._steps.cpu() / total)} if self._ordinal else {})

    def _to(self, device: torch.device) -> None:
        sums = (self._counts, self._top5, self._bins, self._steps)
        self._counts, self._top5, self._bins, self._steps = (x.to(device) for x in sums)


def _calibration_bins(confidence: Tensor, correct: Tensor) -> Tensor:
    """[3, CALIBRATION_BINS]: predictions, right ones and summed confidence, by confidence in (0, 1/15], (1/15, 2/15], ..."""
    place = ((confidence * CALIBRATION_BINS).ceil().long() - 1).clamp(0, CALIBRATION_BINS - 1)
    values = torch.stack([torch.ones_like(confidence), correct.to(confidence.dtype), confidence])
    return values.new_zeros(3, CALIBRATION_BINS).index_add_(1, place, values)


@register(Task.MULTICLASS_CLASSIFICATION)
def build(options: MulticlassClassification, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on one of the levels of `channels`."""
    level = single_level(channels, options.level)
    return MulticlassClassificationHead(level, channels[level], labels, options.label_smoothing, options.ordinal)
