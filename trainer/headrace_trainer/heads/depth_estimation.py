"""Depth estimation: the distance of every pixel, in the unit of the annotations.

Method: the levels' fused map (heads/fused_map.py) gives the log depth of each cell, and each pixel mixes those of the 3 × 3 cells
around it with its own weights (convex upsampling, Teed & Deng 2020, https://arxiv.org/abs/2003.12039): along every edge, plain
interpolation would produce depths between those of the two objects, where there is nothing. The losses are the scale-invariant
error of the logarithm (Eigen et al. 2014, https://arxiv.org/abs/1406.2283, in the form of Lee et al. 2019,
https://arxiv.org/abs/1907.10326) and the absolute error of its differences between neighbours on four scales (gradient matching as
in MiDaS, Ranftl et al. 2019, https://arxiv.org/abs/1907.01341). Why this method: an error of the logarithm is a relative error, as
measured by AbsRel and delta1, the same for near and far and in any unit; differences make edges sharp and slopes right. Depth bins
(AdaBins, Bhat et al. 2020, https://arxiv.org/abs/2011.14141) score higher on NYU and KITTI, but need to know or learn the depth
range.

Why not the absolute error: it forgives a sensor's outliers, but its minimum is at the median. On digit scenes, where nine tenths of
the pixels are ground, it stayed at "ground everywhere" for 500 iterations (AbsRel 0.129, delta1 0.883, the latter as good as the
mean depth), while this loss reaches 0.062 and 0.912 after 300; with a tenth of the gradient's weight, the absolute error reached
0.083 and 0.887.

Upsampling methods, tried on the unit test's eight images of 64 px with the absolute error: delta1 is 0.919 with 2 × 2 sub-cells and
bilinear interpolation as in semantic segmentation, 0.936 with 4 × 4 sub-cells, 0.952 with convex upsampling.

Official metrics (Eigen et al. 2014, https://arxiv.org/abs/1406.2283): AbsRel, RMSE and delta1 (share of pixels within a factor of
1.25), each averaged over the pixels of an image with known depth, and then over images that have such a pixel.

Pixels with unknown depth, or a depth of 0 or less, are neither learnt from nor scored.

B images, H and W the image's sides, h and w the fused map's, s its stride.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_api.heads import DepthEstimation
from headrace_api.tasks import Task
from headrace_api.trainingjob import Better
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, levels_between, register
from headrace_trainer.heads.fused_map import FusedMap
from headrace_trainer.heads.scores import LABEL_UNIT, Score
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.drawing import Canvas
from headrace_trainer.ops.layers import Float32Conv2d, conv_norm_relu
from headrace_trainer.ops.losses import masked_sum
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.maps import DepthResults

SCALES = 4
"""Differences are taken between neighbours on grids of every pixel, every second, fourth and eighth."""
GRADIENT_WEIGHT = 0.5
"""As in MiDaS."""
VARIANCE_FOCUS = 0.85
"""Share of the squared mean error that the scale-invariant error forgives; with 1, the scale would not be learnt."""
FLAT_BELOW = 0.01
"""Smooths the root for errors below this: its slope is unbounded at zero."""
LARGEST_LOG = 30.0
"""Logarithms are clamped to this before exponentiation, which keeps depths and their squares finite."""
DELTA = 1.25


class DepthEstimationHead(Head):
    """Outputs {"log_depth": float32 [B, h * s, w * s]}, per pixel; predictions {"depth": float32 [B, H, W]}, above 0."""

    task = Task.DEPTH_ESTIMATION

    def __init__(self, channels: Mapping[int, int], labels: LabelSpace) -> None:
        super().__init__(sorted(channels), labels)
        self.map = FusedMap(channels)
        self.stride = 2**self.map.level
        self.measure = Float32Conv2d(self.map.width, 1, 1)
        self.mix = conv_norm_relu(self.map.width, self.map.width, 3)
        self.weigh = nn.Conv2d(self.map.width, 9 * self.stride**2, 1)

    def forward(self, features: Features) -> Outputs:
        fused = self.map(features)
        cells = self.measure(fused)
        batch, _, height, width = cells.shape
        weights = self.weigh(self.mix(fused)).float().view(batch, 9, self.stride**2, height, width).softmax(dim=1)
        around = F.unfold(F.pad(cells, (1, 1, 1, 1), mode="replicate"), 3).view(batch, 9, 1, height, width)
        return {"log_depth": F.pixel_shuffle((weights * around).sum(dim=1), self.stride)[:, 0]}

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets "depth" and "known".

        "distance": root of the mean squared error of the logarithm minus VARIANCE_FOCUS times its squared mean, over the pixels
        that count; "gradient": the absolute error of its differences to the right and lower neighbours, mean over the pairs that
        count, summed over scales. Zero if no pixel counts.
        """
        counted = _counted(targets, labelled)
        truth = torch.where(counted, targets["depth"], 1).log()
        found = outputs["log_depth"][:, : truth.shape[1], : truth.shape[2]]
        error = torch.where(counted, found - truth, 0)
        pixels = counted.sum().clamp(min=1)
        # The variance computed directly, not as a difference of squares, which can cancel to less than zero for large errors.
        mean = error.sum() / pixels
        spread = torch.where(counted, (error - mean).square(), 0).sum() / pixels
        squared = spread + (1 - VARIANCE_FOCUS) * mean.square()
        distance = squared / ((squared + FLAT_BELOW**2).sqrt() + FLAT_BELOW)  # sqrt(… + FLAT_BELOW²) - FLAT_BELOW, 0 at 0
        steps = [2**scale for scale in range(SCALES)]
        gradients = [_gradient_error(error[:, ::step, ::step], counted[:, ::step, ::step]) for step in steps]
        return {"distance": distance, "gradient": GRADIENT_WEIGHT * torch.stack(gradients).sum()}

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        logarithm = outputs["log_depth"][:, : image_size[0], : image_size[1]]
        return {"depth": logarithm.clamp(-LARGEST_LOG, LARGEST_LOG).exp()}

    def metric(self) -> Metric:
        return DepthEstimationMetric()

    def truth(self, targets: Targets) -> Predictions | None:
        return {"depth": torch.where(targets["known"] & (targets["depth"] > 0), targets["depth"], torch.nan)}

    def results(self, folder: Path, least_score: float) -> Results:
        return DepthResults(folder, self.labels, least_score)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """Log depths as colours over the image, warm for near and cold for far, with the smallest and largest depth as text."""
        depth = predictions["depth"][index].cpu().double().numpy()
        canvas, known = Canvas(image), np.isfinite(depth)
        if not known.any():
            return canvas.pixels()
        nearest, farthest = depth[known].min(), depth[known].max()
        share = np.log(np.where(known, depth, nearest) / nearest) / max(np.log(farthest / nearest), 1e-9)
        canvas.overlay(_warm_to_cold(share), opacity=0.75, where=known)
        canvas.caption(f"{nearest:.3g} to {farthest:.3g}")
        return canvas.pixels()


def _counted(targets: Targets, labelled: Tensor) -> Tensor:
    """bool [B, H, W]: pixels that are learnt from and scored."""
    return targets["known"] & labelled[:, None, None] & (targets["depth"] > 0)


def _gradient_error(error: Tensor, counted: Tensor) -> Tensor:
    """Mean difference between the errors [B, h, w] of neighbours that both count, over both directions; 0 if there are none."""
    down, right = (error[:, 1:] - error[:, :-1]).abs(), (error[:, :, 1:] - error[:, :, :-1]).abs()
    both_down, both_right = counted[:, 1:] & counted[:, :-1], counted[:, :, 1:] & counted[:, :, :-1]
    pairs = both_down.sum() + both_right.sum()
    return (masked_sum(down, both_down) + masked_sum(right, both_right)) / pairs.clamp(min=1)


_COLORS = np.asarray([(180, 4, 38), (253, 141, 60), (254, 237, 160), (65, 182, 196), (37, 52, 148)], np.float64)
"""From red through yellow to blue."""


def _warm_to_cold(share: np.ndarray) -> np.ndarray:
    """float [H, W], 0 to 1 -> uint8 [H, W, 3]."""
    place = np.linspace(0, 1, len(_COLORS))
    return np.stack([np.interp(share, place, channel) for channel in _COLORS.T], axis=-1).astype(np.uint8)


class DepthEstimationMetric(Metric):
    """AbsRel, RMSE (in the unit of the annotations), delta1; NaN if no pixel counts."""

    scores = (Score("delta1"), Score("AbsRel", Better.LOWER), Score("RMSE", Better.LOWER, LABEL_UNIT))

    def __init__(self) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64)
        """Sums of the images' AbsRel, RMSE and delta1, and the number of images."""

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        counted = _counted(targets, labelled)
        pixels = counted.sum(dim=(1, 2))
        truth, found = (torch.where(counted, x["depth"].double(), 1) for x in (targets, predictions))
        absolute, squared = ((found - truth).abs() / truth, (found - truth).square())
        near = ((torch.maximum(found / truth, truth / found) < DELTA) & counted).double()
        means = [x.sum(dim=(1, 2)) / pixels.clamp(min=1) for x in (absolute, squared, near)]
        scores = torch.stack([means[0], means[1].sqrt(), means[2], torch.ones_like(means[0])])
        self._sums = self._sums.to(scores.device) + torch.where(pixels > 0, scores, 0).sum(dim=1)

    def compute(self) -> dict[str, float]:
        *sums, images = self._sums.cpu()
        return dict(zip(("AbsRel", "RMSE", "delta1"), (float(value / images) for value in sums), strict=True))


@register(Task.DEPTH_ESTIMATION)
def build(options: DepthEstimation, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on some of the levels of `channels`."""
    levels = levels_between(channels, options.bottom_level, options.top_level)
    return DepthEstimationHead({level: channels[level] for level in levels}, labels)
