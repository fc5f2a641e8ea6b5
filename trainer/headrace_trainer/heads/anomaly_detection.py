"""Anomaly detection: how far an image, and each of its pixels, is from normal; learnt from normal images alone.

Method: the levels' fused map and its sub-cells (heads/fused_map.py) predict for every pixel whether it belongs to a defect. The
focal loss trains this on normal images and on the same images with synthetic defects from the training step (worker/defects.py),
as in CutPaste, DRAEM and NSA. An image's score is the mean over its most anomalous hundredth. Why this method: it needs no
pretrained weights, no pass over the train images when training ends, and stores nothing about them in the model, unlike memories of
features (PatchCore, Roth et al. 2022, https://arxiv.org/abs/2106.08265) and feature statistics (PaDiM, Defard et al. 2021,
https://arxiv.org/abs/2011.08785), which depend on features learnt from millions of photographs. Its weakness: anomalies whose parts
all look normal, where only the context is wrong.

Tried on digit scenes' sheets of zeros, with one other digit among nine on half of the 64 held out; 64 px, ResNet-18 from random
weights with a pyramid, batches of 8, AdamW at 0.002, one seed. AUROC of images and pixels after 200 iterations on 256 sheets: 0.79
and 0.91 with this method. After 120 iterations on 64 sheets: 0.59 and 0.70 when all patches and noise end in a sharp edge and
mostly change colour, and every change of 0.03 counts as a defect. Nearest neighbours among features of random weights, 128 sheets:
0.60 and 0.80 at best; a Gaussian of them: 0.57 and 0.75.

Official metrics: AUROC of images by their scores, and of pixels by the map. An image with unknown anomalous pixels (no mask) counts
for the first but not the second; all pixels of a normal image are normal. If all images are normal, or all anomalous, the score is
NaN. Letterbox padding is neither learnt from nor scored as pixels, but the hundredth is taken over the whole input including it.

B images, H and W their sides, h and w those of the logits.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from headrace_api.heads import AnomalyDetection
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, levels_between, register
from headrace_trainer.heads.fused_map import FusedMap, SubCellOutput, to_image
from headrace_trainer.heads.scores import Score
from headrace_trainer.heads.truth import certain
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.drawing import Canvas
from headrace_trainer.ops.losses import quality_focal_loss
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.tables import AnomalyResults

PRIOR: Final = 0.05
"""Probability of a defect at each pixel before anything is learnt."""
HIGHEST: Final = 0.01
"""An image's score is the mean over this share of its pixels, the most anomalous ones."""
BINS: Final = 2**16
"""Bins of the histogram from which the pixels' AUROC is computed."""


class AnomalyDetectionHead(Head):
    """Outputs {"logits": float32 [B, 1, h, w]}, which span the image; predictions {"scores": float32 [B], "map": float32
    [B, H, W]}, each 0 (normal) to 1."""

    task = Task.ANOMALY_DETECTION
    uses_defects = True

    def __init__(self, channels: Mapping[int, int], labels: LabelSpace) -> None:
        super().__init__(sorted(channels), labels)
        self.map = FusedMap(channels)
        self.detect = SubCellOutput(self.map.width, 1)
        assert self.detect.bias is not None  # for the type checker: Conv2d has one unless told otherwise
        nn.init.constant_(self.detect.bias, float(np.log(PRIOR / (1 - PRIOR))))

    def forward(self, features: Features) -> Outputs:
        return {"logits": self.detect(self.map(features))}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets["defects"] and "shown". "defects": focal loss over the pixels of the images with and without synthetic
        defects, divided by the number of defect pixels."""
        counted = targets["shown"] & labelled[:, None, None]
        defects = targets["defects"] & counted
        size = (defects.shape[1], defects.shape[2])
        truth = torch.cat([torch.zeros_like(defects), defects]).float()
        logits = torch.cat([to_image(outputs[key], self.map.level, size)[:, 0] for key in ("logits", "logits@2")])
        losses = torch.where(counted.repeat(2, 1, 1), quality_focal_loss(logits, truth), 0)
        return {"defects": losses.sum() / defects.sum().clamp(min=1)}

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        anomaly = to_image(outputs["logits"], self.map.level, image_size)[:, 0].sigmoid()
        pixels = anomaly.flatten(1)
        highest = pixels.topk(max(1, round(HIGHEST * pixels.shape[1])), dim=1).values
        return {"scores": highest.mean(dim=1), "map": anomaly}

    def metric(self) -> Metric:
        return AnomalyDetectionMetric()

    def truth(self, targets: Targets) -> Predictions | None:
        known = targets["has_mask"][:, None, None]
        return {"scores": certain(targets["anomalous"]), "map": torch.where(known, certain(targets["mask"]), torch.nan)}

    def results(self, folder: Path, least_score: float) -> Results:
        return AnomalyResults(folder, self.labels, least_score)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """The map in red over the image, and the image's score."""
        anomaly = np.nan_to_num(predictions["map"][index].float().cpu().numpy())
        red = np.broadcast_to(np.array([255, 0, 0], np.uint8), image.shape)
        heated = (image * (1 - anomaly[..., None]) + red * anomaly[..., None]).round().astype(np.uint8)
        canvas = Canvas(image)
        canvas.overlay(heated, opacity=0.8)
        canvas.caption(f"anomaly {float(predictions['scores'][index]):.3f}")
        return canvas.pixels()


class AnomalyDetectionMetric(Metric):
    """imageAUROC over images, pixelAUROC over the pixels of images whose anomalous pixels are known: the probability that an
    anomalous one scores higher than a normal one, counting ties as half. NaN if either kind is missing.

    Keeps the scores of all images, but only a histogram of pixels, on the device, with bins 0.0005 wide in log odds.
    """

    scores = (Score("imageAUROC"), Score("pixelAUROC"))

    def __init__(self) -> None:
        self._scores: list[Tensor] = []
        self._anomalous: list[Tensor] = []
        # Bins of normal, then of anomalous pixels; the last entry takes those that do not count.
        self._pixels = torch.zeros(2 * BINS + 1, dtype=torch.int64)

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        self._scores.append(predictions["scores"][labelled])
        self._anomalous.append(targets["anomalous"][labelled])
        odds = torch.logit(predictions["map"].float(), eps=1e-7)
        place = ((odds + 16.2) / 32.4 * BINS).long() + BINS * targets["mask"]
        counted = (labelled & targets["has_mask"])[:, None, None] & targets["shown"]
        place = torch.where(counted, place, 2 * BINS).flatten()
        self._pixels = self._pixels.to(place.device).scatter_add(0, place, torch.ones_like(place))

    def compute(self) -> dict[str, float]:
        scores, anomalous = (torch.cat(parts).cpu() if parts else torch.zeros(0) for parts in (self._scores, self._anomalous))
        image = float(roc_auc_score(anomalous.numpy(), scores.double().numpy())) if _mixed(anomalous) else math.nan
        normal, odd = self._pixels[:-1].cpu().double().view(2, BINS)
        below = normal.cumsum(dim=0) - normal / 2
        pairs = normal.sum() * odd.sum()
        return {"imageAUROC": image, "pixelAUROC": float((odd * below).sum() / pairs) if pairs > 0 else math.nan}


def _mixed(flags: Tensor) -> bool:
    return bool(flags.any()) and not bool(flags.all())


@register(Task.ANOMALY_DETECTION)
def build(options: AnomalyDetection, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on some of the levels of `channels`."""
    levels = levels_between(channels, options.bottom_level, options.top_level)
    return AnomalyDetectionHead({level: channels[level] for level in levels}, labels)
