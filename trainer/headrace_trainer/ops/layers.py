"""Layers that necks and heads are made of, all with GroupNorm.

GroupNorm (Wu & He 2018, https://arxiv.org/abs/1803.08494) instead of batch normalisation, because it looks at one image at a time:
an image without labels then changes nothing about what a head learns from the others, and batches of one image train as well.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

_CHANNELS_PER_GROUP = 16
"""At least so many: a group must hold more than a value or two where a map is 1 × 1, or nothing is left after the normalisation."""


class Float32Conv2d(nn.Conv2d):
    """A convolution in float32 also under autocast, for outputs that are quantities: bfloat16 has not three digits."""

    def forward(self, x: Tensor) -> Tensor:
        with _without_autocast(x):
            return super().forward(x.float())


class Float32Linear(nn.Linear):
    """A linear layer in float32 also under autocast, as Float32Conv2d."""

    def forward(self, x: Tensor) -> Tensor:
        with _without_autocast(x):
            return super().forward(x.float())


class _StridedConv2d(nn.Conv2d):
    """A convolution that takes maps of one column in float32.

    In bfloat16 on a CPU, PyTorch 2.15 leaves the gradient of weights that meet nothing but padding unset where the stride is 2 and
    the map one column wide: what was in memory goes into the optimizer, or is NaN. Levels 6 and 7 of small images are such maps.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] > 1:
            return super().forward(x)
        with _without_autocast(x):
            return super().forward(x.float())


def _without_autocast(x: Tensor) -> AbstractContextManager[None]:
    # Nothing where there is none: a graph that is exported shall not hold a context that does nothing.
    return torch.autocast(x.device.type, enabled=False) if torch.is_autocast_enabled(x.device.type) else nullcontext()


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with at most 32 groups of equal size, of 16 channels or more each (of all channels where there are fewer)."""
    most = min(32, max(1, channels // _CHANNELS_PER_GROUP))
    groups = next(groups for groups in range(most, 0, -1) if channels % groups == 0)
    return nn.GroupNorm(groups, channels)


def conv_norm(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution and GroupNorm: [B, channels_in, H, W] -> [B, channels_out, ceil(H / stride), ceil(W / stride)]; kernel is odd."""
    make = _StridedConv2d if stride > 1 else nn.Conv2d
    conv = make(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, group_norm(channels_out))


def conv_norm_relu(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    """`conv_norm` at stride 1, and ReLU."""
    return nn.Sequential(*conv_norm(channels_in, channels_out, kernel), nn.ReLU(inplace=True))
