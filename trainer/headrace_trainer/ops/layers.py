"""Building blocks of necks and heads, normalised by GroupNorm.

GroupNorm (Wu & He 2018, https://arxiv.org/abs/1803.08494) replaces batch normalisation because it looks at one image at a time:
an unlabelled image does not change what a head learns from the others, and batches of one image train too.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

_CHANNELS_PER_GROUP = 16
"""At least this many: on a 1 × 1 map, normalising a group of one or two values leaves nothing."""


class Float32Conv2d(nn.Conv2d):
    """A convolution in float32 even under autocast, for outputs that are quantities: bfloat16 has fewer than three digits."""

    def forward(self, x: Tensor) -> Tensor:
        with _without_autocast(x):
            return super().forward(x.float())


class Float32Linear(nn.Linear):
    """A linear layer in float32 even under autocast, like Float32Conv2d."""

    def forward(self, x: Tensor) -> Tensor:
        with _without_autocast(x):
            return super().forward(x.float())


class _StridedConv2d(nn.Conv2d):
    """A convolution that processes maps of one column in float32.

    In bfloat16 on a CPU, with stride 2 and a map one column wide, PyTorch 2.15 leaves the gradient of weights that meet only
    padding uninitialised: arbitrary memory, possibly NaN, reaches the optimizer. Levels 6 and 7 of small images are such maps.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] > 1:
            return super().forward(x)
        with _without_autocast(x):
            return super().forward(x.float())


def _without_autocast(x: Tensor) -> AbstractContextManager[None]:
    # No context without autocast: an exported graph should not contain one that does nothing.
    return torch.autocast(x.device.type, enabled=False) if torch.is_autocast_enabled(x.device.type) else nullcontext()


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with at most 32 equal groups of 16 channels or more (one group if there are fewer channels)."""
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
