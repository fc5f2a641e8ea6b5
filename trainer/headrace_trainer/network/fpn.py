"""Feature pyramid network (Lin et al. 2017, https://arxiv.org/abs/1612.03144).

Levels above the backbone's top come from the level below by a convolution of stride 2 (RetinaNet,
https://arxiv.org/abs/1708.02002). Every convolution has a GroupNorm after it: from random weights it learns sooner (He et al.
2018, https://arxiv.org/abs/1811.08883).
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from headrace_trainer.ops.layers import conv_norm


class Fpn(nn.Module):
    """{level: [B, channels_in[level], h, w]} -> {level: [B, width, h, w]}, levels `bottom` to `top`, strides 2^level.

    All of the backbone's levels from `bottom` on are fused, also those above `top`; `bottom` is one of them, `top` may lie higher.
    """

    channels: dict[int, int]

    def __init__(self, channels_in: Mapping[int, int], width: int, bottom: int, top: int) -> None:
        super().__init__()
        if bottom not in channels_in:
            raise ValueError(f"the backbone has no level {bottom}; it has {', '.join(map(str, sorted(channels_in)))}")
        self.channels = dict.fromkeys(range(bottom, top + 1), width)
        highest = max(channels_in)
        self._fused = tuple(range(bottom, highest + 1))
        self._given = tuple(range(bottom, min(top, highest) + 1))
        self._added = tuple(range(highest + 1, top + 1))
        self.laterals = nn.ModuleDict({str(level): conv_norm(channels_in[level], width, 1) for level in self._fused})
        self.outputs = nn.ModuleDict({str(level): conv_norm(width, width, 3) for level in self._given})
        self.extras = nn.ModuleDict({str(level): conv_norm(width, width, 3, stride=2) for level in self._added})

    def forward(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        fused: dict[int, Tensor] = {}
        for level in reversed(self._fused):
            x = self.laterals[str(level)](features[level])
            if level + 1 in fused:
                # To the size of this level, not by 2: with odd sizes the level above is rounded up.
                x = x + F.interpolate(fused[level + 1], size=x.shape[-2:], mode="nearest")
            fused[level] = x
        pyramid = {level: self.outputs[str(level)](fused[level]) for level in self._given}
        for level in self._added:
            pyramid[level] = self.extras[str(level)](F.relu(pyramid[level - 1]))
        return pyramid
