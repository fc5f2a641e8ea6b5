"""Metric learning: one vector per image, close to vectors of the same identity and far from others.

Method: global average pooling, a linear layer and unit length, trained by CosFace (Wang et al. 2018,
https://arxiv.org/abs/1801.09414): softmax cross entropy over the cosines to one prototype per identity, with a margin subtracted
from the right one. With prototypes it does not matter how many images of an identity a batch holds. Unlike ArcFace's
(https://arxiv.org/abs/1801.07698), the margin needs no arc cosine, whose slope is unbounded. The scale of the cosines is constant:
AdaCos' sqrt(2) * log(C - 1) (https://arxiv.org/abs/1905.00292) is 0 for two identities, which then never learn.

Tried on 80 handwritten digits (each scan an identity, ten images, rotated and scaled on textures, 48 px), ResNet-18 to level 4, 200
iterations of 32, AdamW at 0.002, one seed; recall@1 of 40 other scans, 6 images each, standard error 0.03: CosFace at scale 16 and
margin 0.2 0.32, margin 0.35 0.30, margin 0 0.30, scale 24 0.31; ArcFace margin 0.3 0.27, margin 0.5 0.09; Proxy-Anchor
(https://arxiv.org/abs/2003.13911) 0.23; supervised contrastive (https://arxiv.org/abs/2004.11362) 0.03, because most such batches
contain no pair. Adding maximum pooling made both losses it was tried with worse.

Identities that occur only in the held-out split are classes like the others: their prototypes learn to be far from everything and
are never the right one.

Official metrics: recall at 1 and 5 and mean average precision of retrieval, with each held-out image as the query for its identity
among all the others. Images that are alone in their identity are in the gallery but are not queries.

B images, C identities, D dimensions, N images of the split.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_api.heads import MetricLearning
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, register, single_level
from headrace_trainer.heads.neighbours import draw_vector, similarities
from headrace_trainer.heads.scores import Score
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.losses import masked_sum
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.vectors import VectorResults

SCALE = 16.0
"""Factor from cosines to logits."""
MARGIN = 0.2
"""Subtracted from the cosine to the image's own prototype."""


class MetricLearningHead(Head):
    """Outputs {"embeddings": float32 [B, D]}, of unit length, which are the predictions too."""

    task = Task.METRIC_LEARNING
    needs = ("classes",)

    def __init__(self, level: int, channels: int, labels: LabelSpace, dimensions: int) -> None:
        super().__init__([level], labels)
        self.linear = nn.Linear(channels, dimensions)
        self.prototypes = nn.Parameter(torch.empty(len(self.classes), dimensions))
        # Only directions count, and an optimizer step turns short vectors further: prototypes must keep up with the embeddings.
        nn.init.normal_(self.prototypes, std=0.01)

    def forward(self, features: Features) -> Outputs:
        pooled = features[self.levels[0]].mean(dim=(-2, -1))
        return {"embeddings": F.normalize(self.linear(pooled).float(), dim=1)}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets["label"]. "identity": CosFace, mean over labelled images."""
        label = torch.where(labelled, targets["label"], 0)
        cosines = (outputs["embeddings"] @ F.normalize(self.prototypes, dim=1).T).float()
        own = torch.arange(len(self.classes), device=label.device) == label[:, None]
        entropy = F.cross_entropy(SCALE * torch.where(own, cosines - MARGIN, cosines), label, reduction="none")
        return {"identity": masked_sum(entropy, labelled) / labelled.sum().clamp(min=1)}

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:  # noqa: ARG002 - vectors have no place
        return {"embeddings": outputs["embeddings"]}

    def metric(self) -> Metric:
        return RetrievalMetric()

    def truth(self, targets: Targets) -> Predictions | None:  # noqa: ARG002
        """None: an image does not show its identity."""
        return None

    def results(self, folder: Path, least_score: float) -> Results:
        return VectorResults(folder, self.labels, least_score, "embeddings")

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """The vector as a band of colours, and the nearest image of the batch."""
        return draw_vector(image, predictions["embeddings"], index)


class RetrievalMetric(Metric):
    """recallAt1, recallAt5, mAP; NaN if no labelled image has another of its identity.

    Recall at k: the share of images with one of their identity among the k nearest others. Keeps the vectors of the split; among
    equally near images, the earlier comes first.
    """

    scores = (Score("recallAt1"), Score("recallAt5"), Score("mAP"))

    def __init__(self) -> None:
        self._embeddings: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        self._embeddings.append(predictions["embeddings"][labelled])
        self._labels.append(targets["label"][labelled])

    def compute(self) -> dict[str, float]:
        if not self._labels:
            return dict.fromkeys(("recallAt1", "recallAt5", "mAP"), float("nan"))
        label = torch.cat(self._labels)
        scores = [_scores(near, label[asked], label) for asked, near in similarities(torch.cat(self._embeddings))]
        first, fifth, precision = torch.cat(scores).double().mean(dim=0).tolist() if scores else [float("nan")] * 3
        return {"recallAt1": first, "recallAt5": fifth, "mAP": precision}


def _scores(near: Tensor, asked: Tensor, label: Tensor) -> Tensor:
    """Similarities [Q, N], identities [Q] and [N] -> [images with another of their identity, 3]: found at 1, at 5, precision."""
    # The image itself comes last: `similarities` sets it to -inf.
    order = near.argsort(dim=1, descending=True, stable=True)[:, :-1]
    right = label[order] == asked[:, None]
    right = right[right.any(dim=1)].double()
    rank = torch.arange(1, right.shape[1] + 1, device=right.device)
    precision = (right * right.cumsum(dim=1) / rank).sum(dim=1) / right.sum(dim=1)
    return (
        torch.stack([right[:, :1].amax(dim=1), right[:, :5].amax(dim=1), precision], dim=1) if len(right) else right.new_zeros(0, 3)
    )


@register(Task.METRIC_LEARNING)
def build(options: MetricLearning, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on one of the levels of `channels`."""
    level = single_level(channels, options.level)
    return MetricLearningHead(level, channels[level], labels, options.dimensions)
