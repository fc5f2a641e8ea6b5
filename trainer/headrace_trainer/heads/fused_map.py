"""Fuses several levels into one fine map, shared by the heads that predict every pixel. Not a head by itself.

Method: the semantic branch of Panoptic FPN (Kirillov et al. 2019, https://arxiv.org/abs/1901.02446), made cheaper: 1 × 1
convolutions project every level, the maps are enlarged to the lowest level and added, and only the sum (there: each level
separately) goes through the chain of 3 × 3 convolutions and upsampling up to a quarter of the image's size. Each cell then predicts
its 2 × 2 quarters (sub-pixel convolution, Shi et al. 2016, https://arxiv.org/abs/1609.05158), and bilinear interpolation does the
rest: edges are finer than the map's stride at the cost of a 1 × 1 convolution.

B images, D outputs per pixel, H and W the image's sides, h and w those of the map.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_trainer.heads.base import Features
from headrace_trainer.ops.layers import conv_norm, conv_norm_relu

WIDTH = 128
"""Channels of the map, as in Panoptic FPN; fewer if no level has that many."""
FINEST_CONVOLUTION_LEVEL = 2
"""Level to which convolutions enlarge the maps, or the lowest level in use if that is finer."""
SUB_CELLS = 2
"""Each cell of that level gives SUB_CELLS × SUB_CELLS outputs."""


class FusedMap(nn.Module):
    """Feature maps of `channels` (by level) -> [B, width, h, w], a non-negative map at level `level`."""

    def __init__(self, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.levels = tuple(sorted(channels))
        self.width = min(WIDTH, max(channels.values()))
        self.level = min(self.levels[0], FINEST_CONVOLUTION_LEVEL)
        self.projections = nn.ModuleDict({str(level): conv_norm(channels[level], self.width, 1) for level in self.levels})
        self.refine = nn.Sequential(conv_norm_relu(self.width, self.width, 3))
        for _ in range(self.levels[0] - self.level):
            self.refine.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
            self.refine.append(conv_norm_relu(self.width, self.width, 3))

    def forward(self, features: Features) -> Tensor:
        lowest, *others = self.levels
        x = self.projections[str(lowest)](features[lowest])
        for level in others:
            projected = self.projections[str(level)](features[level])
            enlarged = F.interpolate(projected, scale_factor=2 ** (level - lowest), mode="bilinear", align_corners=False)
            # Cells of the level above may reach over the edge; scaling and cropping, not resizing, keeps everything aligned.
            x = x + enlarged[:, :, : x.shape[2], : x.shape[3]]
        refined: Tensor = self.refine(F.relu(x))
        return refined


class SubCellOutput(nn.Conv2d):
    """1 × 1 convolution: [B, width, h, w] -> float32 [B, D, h * SUB_CELLS, w * SUB_CELLS]."""

    def __init__(self, width: int, answers: int) -> None:
        super().__init__(width, answers * SUB_CELLS**2, 1)
        self._begin_without_checkerboard(answers)

    @torch.no_grad()
    def _begin_without_checkerboard(self, answers: int) -> None:
        """All sub-cells of an output start with the same weights (Aitken et al. 2017, https://arxiv.org/abs/1707.02937).

        With different weights they disagree for hundreds of iterations, and predictions show a checkerboard.
        """
        shared = torch.empty(answers, *self.weight.shape[1:])
        nn.init.kaiming_normal_(shared, nonlinearity="linear")
        self.weight.copy_(shared.repeat_interleave(SUB_CELLS**2, dim=0))
        assert self.bias is not None  # for the type checker: Conv2d has one unless told otherwise
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(super().forward(x), SUB_CELLS).float()


def to_image(answers: Tensor, level: int, size: tuple[int, int]) -> Tensor:
    """Sub-cells of a map at `level` [B, D, ...] -> [B, D, H, W] for an image of `size` (H, W).

    Cells may reach over the image's right and bottom edges; the overhang is cropped.
    """
    scale = 2**level / SUB_CELLS
    if scale != 1:
        answers = F.interpolate(answers, scale_factor=scale, mode="bilinear", align_corners=False)
    return answers[:, :, : size[0], : size[1]]
