"""Feature pyramid network (Lin et al. 2017, https://arxiv.org/abs/1612.03144).

A GroupNorm follows every convolution: it learns faster from random weights (He et al. 2018, https://arxiv.org/abs/1811.08883).
"""

from collections.abc import Mapping

from torch import Tensor, nn

from headrace_trainer.network.necks.base import Neck, enlarged
from headrace_trainer.ops.layers import conv_norm


class Fpn(Neck):
    """From the top down: adds each backbone level to the level above it, then applies a convolution."""

    def __init__(self, channels_in: Mapping[int, int], width: int, bottom: int, top: int) -> None:
        super().__init__(channels_in, width, bottom, top)
        self.outputs = nn.ModuleDict({str(level): conv_norm(width, width, 3) for level in self._given})

    def forward(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        fused: dict[int, Tensor] = {}
        for level in reversed(self._fused):
            x = self.laterals[str(level)](features[level])
            fused[level] = x + enlarged(fused[level + 1], x) if level + 1 in fused else x
        return self._with_added({level: self.outputs[str(level)](fused[level]) for level in self._given})
