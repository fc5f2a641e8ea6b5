"""Autoencoding: reconstructs the image from the features of one level. Self-supervised.

Method: a decoder that mirrors the backbone, each stage twice as large and half as wide, down to level 2, where each cell gives its
own 4 × 4 pixels (sub-pixel convolution, Shi et al. 2016, https://arxiv.org/abs/1609.05158): full resolution at a sixteenth of the
cost of convolutions at that resolution. The loss is the squared error, on which PSNR is based; absolute, perceptual or adversarial
losses look sharper and score lower.

Tried on eight images of coloured shapes, 64 px, ResNet-18 to level 4 with a pyramid, 100 iterations of AdamW at 0.004, seed 0, on
level 3 / 4: this decoder 21.9 / 20.9 dB; with each cell's mean colour added from the level itself, bypassing GroupNorm, which
removes an image's brightness, 21.3 / 19.2; the same without GroupNorm 21.4 / 20.3.

Official metric: PSNR, -10 log10 of an image's mean squared error with channels from 0 to 1, averaged over images; an image counts
as 59 dB at most, the error of rounding to 8 bits. PSNR has no upper bound, so checkpoints are compared by `fidelity`: 1 minus the
root of an image's mean squared error, averaged over images; 1 if nothing is lost. Letterbox padding is neither learnt from nor
scored.

B images, H and W their sides, C channels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from headrace_api.heads import Autoencoding
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, register, single_level
from headrace_trainer.heads.scores import Score
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.drawing import Canvas
from headrace_trainer.ops.layers import conv_norm_relu
from headrace_trainer.ops.pixels import denormalise
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.maps import PictureResults

FINEST_CONVOLUTION_LEVEL: Final = 2
"""The decoder enlarges maps to this level, whose cells give all their pixels at once; so do those of a lower input level."""
WIDEST: Final = 256
NARROWEST: Final = 64
"""Bounds on the decoder's channels: at most WIDEST in the first stage, at least NARROWEST in the last."""
LEAST_ERROR: Final = 1 / 255**2 / 12
"""Mean squared error of rounding to 8 bits: 59 dB. Smaller errors count as this one."""


class AutoencodingHead(Head):
    """Outputs {"image": float32 [B, 3, h, w]}, normalised, h and w being the sides padded to a multiple of the level's stride;
    predictions {"image": float32 [B, 3, H, W]}, 0 to 1."""

    task = Task.AUTOENCODING
    uses_image = True

    def __init__(self, level: int, channels: int, labels: LabelSpace) -> None:
        super().__init__([level], labels)
        finest = min(level, FINEST_CONVOLUTION_LEVEL)
        width = min(channels, WIDEST)
        self.decoder = nn.Sequential(conv_norm_relu(channels, width, 1))
        for _ in range(level - finest):
            narrower = max(width // 2, min(width, NARROWEST))
            self.decoder.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
            self.decoder.append(conv_norm_relu(width, narrower, 3))
            width = narrower
        self.pixels = nn.Sequential(nn.Conv2d(width, 3 * 4**finest, 1), nn.PixelShuffle(2**finest))

    def forward(self, features: Features) -> Outputs:
        return {"image": self.pixels(self.decoder(features[self.levels[0]])).float()}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets["image"] and "shown". "reconstruction": squared error in standard deviations of ImageNet's colours, mean
        over an image's pixels and then over images."""
        wanted = torch.where(labelled[:, None, None, None], targets["image"], 0)
        height, width = wanted.shape[-2:]
        error = _mean_square(outputs["image"][:, :, :height, :width] - wanted, targets["shown"] & labelled[:, None, None])
        return {"reconstruction": error.sum() / labelled.sum().clamp(min=1)}

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        height, width = image_size
        return {"image": denormalise(outputs["image"][:, :, :height, :width]).clamp(0, 1)}

    def metric(self) -> Metric:
        return ReconstructionMetric()

    def truth(self, targets: Targets) -> Predictions | None:  # noqa: ARG002
        """None: the truth is the image itself."""
        return None

    def results(self, folder: Path, least_score: float) -> Results:
        return PictureResults(folder, self.labels, least_score)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """The reconstruction in place of the image, with its PSNR."""
        found = predictions["image"][index].float().cpu()
        wanted = torch.from_numpy(image).permute(2, 0, 1) / 255
        canvas = Canvas(image)
        canvas.overlay((found * 255).round().byte().permute(1, 2, 0).numpy(), opacity=1.0)
        canvas.caption(f"PSNR {_psnr((found - wanted).square().mean()).item():.1f}")
        return canvas.pixels()


class ReconstructionMetric(Metric):
    """psnr in dB and fidelity, means over images; NaN without images. Keeps constant-size sums on the device."""

    scores = (Score("fidelity"), Score("psnr", unit="dB"))

    def __init__(self) -> None:
        # Number of images, sum of their PSNR, sum of their root mean squared errors.
        self._sums = torch.zeros(3, dtype=torch.float64)

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        error = _mean_square(predictions["image"] - denormalise(targets["image"]), targets["shown"]).double()
        terms = torch.stack([torch.ones_like(error), _psnr(error), error.sqrt()])
        self._sums = self._sums.to(error.device) + torch.where(labelled, terms, 0).sum(dim=1)

    def compute(self) -> dict[str, float]:
        count, psnr, root = self._sums.cpu()
        return {"psnr": float(psnr / count), "fidelity": float(1 - root / count)}


def _mean_square(difference: Tensor, shown: Tensor) -> Tensor:
    """Mean square of [B, 3, H, W] over the pixels of `shown` (bool [B, H, W]): [B]."""
    squared = torch.where(shown, difference.square().mean(dim=1), 0)
    return squared.sum(dim=(1, 2)) / shown.sum(dim=(1, 2)).clamp(min=1)


def _psnr(error: Tensor) -> Tensor:
    """Mean squared errors of images with values from 0 to 1 -> dB."""
    return -10 * error.clamp(min=LEAST_ERROR).log10()


@register(Task.AUTOENCODING)
def build(options: Autoencoding, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on one of the levels of `channels`."""
    level = single_level(channels, options.level)
    return AutoencodingHead(level, channels[level], labels)
