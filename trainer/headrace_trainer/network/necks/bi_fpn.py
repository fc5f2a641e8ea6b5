"""Weighted bidirectional feature pyramid network (Tan et al. 2020, https://arxiv.org/abs/1911.09070).

Features go from the top down and back up, several times; every map is a weighted mean of its inputs ("fast normalised fusion")
followed by a separable convolution. Differences: GroupNorm instead of batch normalisation; the first pass uses one projection of
each backbone level in both directions; levels above the backbone's come from convolutions of stride 2 instead of max-pooling.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_trainer.network.necks.base import Neck, enlarged
from headrace_trainer.ops.layers import conv_norm

_EPSILON = 1e-4
"""Keeps the sum of the weights above zero; the paper's value."""


class BiFpn(Neck):
    """`repeats` passes down and up over all levels, including those above the backbone's."""

    def __init__(self, channels_in: Mapping[int, int], width: int, bottom: int, top: int, repeats: int) -> None:
        super().__init__(channels_in, width, bottom, top)
        levels = (*self._fused, *self._added)
        # The last pass goes up only to the highest level in use.
        tops = [levels[-1]] * (repeats - 1) + [top]
        self.passes = nn.ModuleList(_Pass(levels, top, width) for top in tops)

    def forward(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        maps = self._with_added({level: self.laterals[str(level)](features[level]) for level in self._fused})
        for both_ways in self.passes:
            maps = both_ways(maps)
        return maps


class _Pass(nn.Module):
    """Down from the highest of `levels` to the lowest and up again to `top`, the highest level returned."""

    def __init__(self, levels: Sequence[int], top: int, width: int) -> None:
        super().__init__()
        self._levels = tuple(levels)
        self._upwards = tuple(level for level in levels[1:] if level <= top)
        self.down = nn.ModuleDict({str(level): _Fusion(2, width) for level in levels[:-1]})
        self.up = nn.ModuleDict({str(level): _Fusion(2 if level == levels[-1] else 3, width) for level in self._upwards})

    def forward(self, maps: Mapping[int, Tensor]) -> dict[int, Tensor]:
        *others, highest = self._levels
        downwards = {highest: maps[highest]}
        for level in reversed(others):
            downwards[level] = self.down[str(level)](maps[level], enlarged(downwards[level + 1], maps[level]))
        given = {self._levels[0]: downwards[self._levels[0]]}
        for level in self._upwards:
            between = () if level == highest else (downwards[level],)
            below = F.max_pool2d(given[level - 1], 3, stride=2, padding=1)
            given[level] = self.up[str(level)](maps[level], *between, below)
        return given


class _Fusion(nn.Module):
    """`inputs` maps of one size -> weighted mean, SiLU, separable convolution, GroupNorm."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs))
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.pointwise = conv_norm(width, width, 1)

    def forward(self, *maps: Tensor) -> Tensor:
        weights = F.relu(self.weights)
        weights = weights / (weights.sum() + _EPSILON)
        x = torch.stack([weight * x for weight, x in zip(weights, maps, strict=True)]).sum(dim=0)
        fused: Tensor = self.pointwise(self.depthwise(F.silu(x)))
        return fused
