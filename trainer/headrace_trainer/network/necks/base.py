"""The interface of necks: levels in, levels of one width out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.ops.layers import conv_norm


class Neck(nn.Module, ABC):
    """{level: [B, channels_in[level], h, w]} -> {level: [B, width, h, w]}, levels `bottom` to `top`, strides 2^level.

    All backbone levels from `bottom` up are fused, even those above `top`; `bottom` is one of them, `top` may be higher. Levels
    above the backbone's highest come from the level below by a convolution of stride 2 (RetinaNet,
    https://arxiv.org/abs/1708.02002).
    """

    channels: dict[int, int]

    def __init__(self, channels_in: Mapping[int, int], width: int, bottom: int, top: int) -> None:
        """Raises FatalError(BAD_MODEL) if the backbone lacks the level `bottom`."""
        super().__init__()
        if bottom not in channels_in:
            there = ", ".join(map(str, sorted(channels_in)))
            raise FatalError(
                Reason.BAD_MODEL, f"neck.bottomLevel is {bottom}, but the backbone has the levels {there}: choose one of them"
            )
        self.channels = dict.fromkeys(range(bottom, top + 1), width)
        highest = max(channels_in)
        self._fused = tuple(range(bottom, highest + 1))
        self._given = tuple(range(bottom, min(top, highest) + 1))
        self._added = tuple(range(highest + 1, top + 1))
        self.laterals = nn.ModuleDict({str(level): conv_norm(channels_in[level], width, 1) for level in self._fused})
        self.extras = nn.ModuleDict({str(level): conv_norm(width, width, 3, stride=2) for level in self._added})

    @abstractmethod
    def forward(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The fused levels, from the lowest up."""

    def _with_added(self, pyramid: dict[int, Tensor]) -> dict[int, Tensor]:
        """`pyramid` with the levels above it."""
        for level in self._added:
            pyramid[level] = self.extras[str(level)](F.relu(pyramid[level - 1]))
        return pyramid


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """[B, C, h, w] of the level above -> the size of `like`."""
    # By size, not by a factor of 2: with odd sizes the level above is rounded up.
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")
