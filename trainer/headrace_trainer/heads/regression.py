"""Regression: D numbers for the whole image.

Method: global average and maximum pooling side by side, one linear layer, and the Huber loss (Huber 1964,
https://doi.org/10.1214/aoms/1177703732) on values in standard deviations of the train split. Near the truth it is the squared
error, which converges to the mean and settles smoothly where an absolute error would oscillate; beyond one deviation it is the
absolute error, so an annotation mistake pulls no harder than an honest miss. After standardisation, values in any unit weigh the
same and start at a loss of about a half. The average shows how much of something there is (a count), the maximum what a single
small place shows (the angle of an object).

Official metrics: MAE, RMSE and R² of each value over the images where it is known, averaged over the values like scikit-learn's
`uniform_average`. Units differ between values, so MAE and RMSE over several values only serve to compare runs.

B images, D values.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_api.heads import Regression
from headrace_api.tasks import Task
from headrace_api.trainingjob import Better
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, register, single_level
from headrace_trainer.heads.scores import LABEL_UNIT, Score
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.drawing import Canvas
from headrace_trainer.ops.layers import Float32Linear
from headrace_trainer.ops.losses import masked_sum
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.tables import ValueResults

MOST_DRAWN = 8
"""Values written on a picture at most."""


class RegressionHead(Head):
    """Outputs {"standardised": float32 [B, D]}, in deviations from the mean; predictions {"values": float32 [B, D]}, in the
    annotations' own units."""

    task = Task.REGRESSION
    needs = ("values",)

    means: Tensor
    deviations: Tensor

    def __init__(self, level: int, channels: int, labels: LabelSpace) -> None:
        super().__init__([level], labels)
        # Not persistent: the model's label space stores them.
        self.register_buffer("means", torch.tensor(labels.means), persistent=False)
        self.register_buffer("deviations", torch.tensor(labels.deviations), persistent=False)
        self.linear = Float32Linear(2 * channels, len(labels.values))
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Features) -> Outputs:
        x = features[self.levels[0]]
        pooled = torch.cat([x.mean(dim=(-2, -1)), x.amax(dim=(-2, -1))], dim=1)
        return {"standardised": self.linear(pooled)}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets["values"] and ["known"]. "regression": Huber loss, mean over the known values of labelled images."""
        known = targets["known"] & labelled[:, None]
        values = torch.where(known, targets["values"], 0)
        wanted = (values - self.means) / self.deviations
        error = F.huber_loss(outputs["standardised"], wanted, reduction="none")
        return {"regression": masked_sum(error, known) / known.sum().clamp(min=1)}

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:  # noqa: ARG002 - values have no place
        return {"values": outputs["standardised"] * self.deviations + self.means}

    def metric(self) -> Metric:
        return RegressionMetric(self.means, self.deviations)

    def truth(self, targets: Targets) -> Predictions | None:
        return {"values": torch.where(targets["known"], targets["values"], torch.nan)}

    def results(self, folder: Path, least_score: float) -> Results:
        return ValueResults(folder, self.labels, least_score)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """The first values by name; NaN in the truth is shown as unknown."""
        canvas = Canvas(image)
        for number, (name, value) in enumerate(zip(self.labels.values, predictions["values"][index].tolist(), strict=True)):
            if number < MOST_DRAWN:
                canvas.caption(f"{name} {'unknown' if math.isnan(value) else f'{value:.4g}'}", number)
        return canvas.pixels()


class RegressionMetric(Metric):
    """MAE, RMSE and R2, each the mean over the values that are known for some labelled image; NaN if there are none.

    R2 of a value needs two images (with fewer it does not count). As in scikit-learn it is 1 or 0 if all truths are equal, and
    negative if the mean of the truths would have been a better prediction. Keeps constant-size sums on the device.
    """

    scores = (Score("R2"), Score("MAE", Better.LOWER, LABEL_UNIT), Score("RMSE", Better.LOWER, LABEL_UNIT))

    def __init__(self, means: Tensor, deviations: Tensor) -> None:
        self._means, self._deviations = means.double(), deviations.double()
        # Rows: images, sum of |error|, of error², of the truth, of the truth²; per value, in standard deviations from the mean of
        # the train split, because sums of squares far from zero would cancel.
        self._sums = torch.zeros(5, len(means), dtype=torch.float64, device=means.device)

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        known = targets["known"] & labelled[:, None]
        truth, found = ((x.double() - self._means) / self._deviations for x in (targets["values"], predictions["values"]))
        error = found - truth
        terms = torch.stack([torch.ones_like(error), error.abs(), error.square(), truth, truth.square()])
        self._sums += torch.where(known, terms, 0).sum(dim=1)

    def compute(self) -> dict[str, float]:
        count, absolute, squared, truth, truth_squared = self._sums.cpu()
        deviations = self._deviations.cpu()
        scatter = truth_squared - truth.square() / count
        # Sums of equal numbers differ from zero by rounding.
        varies = scatter > 1e-12 * truth_squared
        r2 = torch.where(varies, 1 - squared / scatter, (squared == 0).double())
        return {
            "MAE": _mean((absolute / count * deviations)[count > 0]),
            "RMSE": _mean(((squared / count).sqrt() * deviations)[count > 0]),
            "R2": _mean(r2[count > 1]),
        }


def _mean(values: Tensor) -> float:
    return float(values.mean())  # NaN if there are none


@register(Task.REGRESSION)
def build(options: Regression, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on one of the levels of `channels`."""
    level = single_level(channels, options.level)
    return RegressionHead(level, channels[level], labels)
