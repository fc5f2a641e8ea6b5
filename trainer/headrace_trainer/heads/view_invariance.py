"""View invariance: features that two views of an image share and that tell images apart. Self-supervised.

Method: VICReg (Bardes et al. 2022, https://arxiv.org/abs/2105.04906): global average pooling and an expander of two layers. Its
vectors should be the same for both views, vary between images in every dimension, and not repeat the same information in two
dimensions. Only the loss keeps features from collapsing: there is no batch normalisation in the head, no queue, no second network
with averaged weights and no negatives, all of which would couple images beyond the loss or need large batches. LayerNorm replaces
the paper's batch normalisation, which would count unlabelled images; the third layer is left out; the weights of the three terms
are the paper's, divided by 25 so that the loss starts at the scale of other heads, with variance and covariance averaged over the
two views. The first view is the image as the job augments it, the same as for all other heads, not a second crop.

It takes a long time to learn. On digit scenes of 48 px, ResNet-18 up to level 4 from random weights, batches of 32 of 256 images,
vectors of 256 numbers, AdamW at 0.001, one seed: the nearest-neighbour accuracy of 160 held-out images is 0.81 before and 0.83
after 60 iterations for textures, 0.18 before and 0.11 (chance) after 90 for digits on cards: no significant gain, but features do
not collapse. The authors' code gives covariance twice the weight: 0.80 and 0.14. SimCLR's loss (Chen et al. 2020,
https://arxiv.org/abs/2002.05709), with AdamW at 0.002: 0.77 and 0.11. The deviation of VICReg's vectors is still below a half by
then. Longer runs are in docs/results.md. The most obvious feature that two views share, such as a card's background, keeps such
losses from learning the rest, such as its digit (Chen et al. 2021, https://arxiv.org/abs/2011.02803).

Official metrics: accuracy of the nearest neighbours' label, for images that have one, and the deviation of features, which reveals
collapse. Both use the pooled features, which other heads see too, not the expander's vectors.

B images, N images of the split, C channels, D dimensions.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_api.heads import ViewInvariance
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, register, single_level
from headrace_trainer.heads.neighbours import draw_vector, similarities
from headrace_trainer.heads.scores import Score
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.losses import masked_sum
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.vectors import VectorResults

COVARIANCE_WEIGHT: Final = 1 / 25
"""Relative to invariance and variance, both at 1."""
NEIGHBOURS: Final = 5
"""Neighbours that vote on an image's label, weighted by exp(cosine / TEMPERATURE) (Wu et al. 2018, arxiv.org/abs/1805.01978)."""
TEMPERATURE: Final = 0.07


class ViewInvarianceHead(Head):
    """Outputs {"features": float32 [B, C], "vectors": float32 [B, D]}; predictions {"features": float32 [B, C]} of unit length."""

    task = Task.VIEW_INVARIANCE
    uses_views = True

    def __init__(self, level: int, channels: int, labels: LabelSpace, dimensions: int) -> None:
        super().__init__([level], labels)
        # No bias at the end: the loss depends only on differences, where it would cancel.
        self.expander = nn.Sequential(
            nn.Linear(channels, dimensions),
            nn.LayerNorm(dimensions),
            nn.ReLU(inplace=True),
            nn.Linear(dimensions, dimensions, bias=False),
        )

    def forward(self, features: Features) -> Outputs:
        pooled = features[self.levels[0]].mean(dim=(-2, -1))
        return {"features": pooled.float(), "vectors": self.expander(pooled).float()}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - there is no truth
        """Reads no targets. "invariance": squared distance between an image's two vectors, mean over dimensions and images;
        "variance": how far the deviation of a dimension is below 1, mean over dimensions and views; "covariance": squared
        covariances between dimensions, summed, divided by D, mean over views. The last two are 0 for fewer than two images."""
        first, second = outputs["vectors"], outputs["vectors@2"]
        invariance = masked_sum((first - second).square().mean(dim=1), labelled) / labelled.sum().clamp(min=1)
        variance, covariance = torch.stack([_spread(vectors, labelled) for vectors in (first, second)]).mean(dim=0)
        return {"invariance": invariance, "variance": variance, "covariance": COVARIANCE_WEIGHT * covariance}

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:  # noqa: ARG002 - vectors have no place
        return {"features": F.normalize(outputs["features"], dim=1)}

    def metric(self) -> Metric:
        return FeaturesMetric()

    def truth(self, targets: Targets) -> Predictions | None:  # noqa: ARG002
        """None: it learns without labels."""
        return None

    def results(self, folder: Path, least_score: float) -> Results:
        return VectorResults(folder, self.labels, least_score, "features")

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """The features as a band of colours, and the nearest image of the batch."""
        return draw_vector(image, predictions["features"], index)


def _spread(vectors: Tensor, counted: Tensor) -> Tensor:
    """float32 [B, D] -> [2]: VICReg's variance and covariance terms over the `counted` images; 0 for fewer than two."""
    count, dimensions = counted.sum(), vectors.shape[1]
    mean = torch.where(counted[:, None], vectors, 0).sum(dim=0) / count.clamp(min=1)
    centered = torch.where(counted[:, None], vectors - mean, 0)
    covariance = (centered.T @ centered).float() / (count - 1).clamp(min=1)
    variances = covariance.diagonal()
    variance = F.relu(1 - (variances + 1e-4).sqrt()).mean()
    between = (covariance.square().sum() - variances.square().sum()) / dimensions
    return torch.where(count > 1, torch.stack([variance, between]), 0)


class FeaturesMetric(Metric):
    """knnAccuracy, deviation and score; NaN without images, knnAccuracy also with fewer than two labelled ones.

    knnAccuracy: the share of images whose label wins the vote of the nearest others. deviation: the standard deviation of
    unit-length features over images, averaged over their C numbers, times sqrt(C): 0 if all images look the same, at most 1. score:
    knnAccuracy if there is one, else deviation, which only shows that features have not collapsed.
    """

    scores = (Score("score"), Score("knnAccuracy"), Score("deviation"))

    def __init__(self) -> None:
        self._features: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        self._features.append(predictions["features"][labelled])
        self._labels.append(targets["label"][labelled])

    def compute(self) -> dict[str, float]:
        if not sum(len(label) for label in self._labels):
            return dict.fromkeys(("knnAccuracy", "deviation", "score"), math.nan)
        features, label = torch.cat(self._features), torch.cat(self._labels)
        accuracy = _vote(features[label >= 0], label[label >= 0])
        spread = features.double().std(dim=0, correction=0).mean() * features.shape[1] ** 0.5
        deviation = min(float(spread), 1.0)  # rounding to single precision can make it just above 1
        return {"knnAccuracy": accuracy, "deviation": deviation, "score": deviation if math.isnan(accuracy) else accuracy}


def _vote(features: Tensor, label: Tensor) -> float:
    """[N, C], labels [N] -> the share of right votes; NaN for fewer than two images."""
    if len(label) < 2:
        return math.nan
    names, number = label.unique(return_inverse=True)
    right = 0
    for asked, near in similarities(features):
        nearest = near.topk(min(NEIGHBOURS, len(label) - 1), dim=1)
        votes = near.new_zeros(len(near), len(names))
        votes.scatter_add_(1, number[nearest.indices], (nearest.values / TEMPERATURE).exp())
        right += int((votes.argmax(dim=1) == number[asked]).sum())
    return right / len(label)


@register(Task.VIEW_INVARIANCE)
def build(options: ViewInvariance, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on one of the levels of `channels`."""
    level = single_level(channels, options.level)
    return ViewInvarianceHead(level, channels[level], labels, options.dimensions)
