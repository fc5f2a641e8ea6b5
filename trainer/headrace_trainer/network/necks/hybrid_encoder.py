"""Hybrid encoder of RT-DETR (Zhao et al. 2024, https://arxiv.org/abs/2304.08069): attention at the top, convolutions below.

The cells of the backbone's highest level attend to each other once ("attention-based intra-scale feature interaction"); then
features go from the top down and back up, as in a path aggregation network (Liu et al. 2018, https://arxiv.org/abs/1803.01534).
Residual 3 × 3 convolutions between 1 × 1 ones fuse two levels ("CNN-based cross-scale feature fusion"), at half the width as in the
paper's small models. Differences: GroupNorm instead of batch normalisation, and therefore no parallel 1 × 1 branch beside the 3 × 3
convolutions, which can be folded away after training only with batch normalisation.

The time and memory for attention grow with the square of the number of cells on the highest level.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_trainer.network.necks.base import Neck, enlarged
from headrace_trainer.ops.layers import conv_norm

_HEADS = 8
"""Attention heads, as in the paper. Widths are multiples of 8."""
_WIDENING = 4
"""Hidden width of the layer's multilayer perceptron over `width`, as in the paper."""
_SLOWEST = 10_000.0
"""Longest wavelength of the position code, in cells, divided by 2 pi; the paper's value."""


class HybridEncoder(Neck):
    """Attention on the highest level, a pass down, a pass up; `repeats` convolutions in each fusion."""

    def __init__(self, channels_in: Mapping[int, int], width: int, bottom: int, top: int, repeats: int) -> None:
        super().__init__(channels_in, width, bottom, top)
        *below, self._highest = self._fused
        self.attention = _SelfAttention(width)
        self.reductions = nn.ModuleDict({str(level + 1): _conv_silu(width, width, 1) for level in below})
        self.down = nn.ModuleDict({str(level): _Fusion(width, repeats) for level in below})
        self.shrink = nn.ModuleDict({str(level): _conv_silu(width, width, 3, stride=2) for level in self._given[1:]})
        self.up = nn.ModuleDict({str(level): _Fusion(width, repeats) for level in self._given[1:]})

    def forward(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        maps = {level: self.laterals[str(level)](features[level]) for level in self._fused}
        downwards = {self._highest: self.attention(maps[self._highest])}
        for level in reversed(self._fused[:-1]):
            # As in the paper, the upward pass also uses the reduced map of the level above.
            above = downwards[level + 1] = self.reductions[str(level + 1)](downwards[level + 1])
            downwards[level] = self.down[str(level)](maps[level], enlarged(above, maps[level]))
        given = {self._fused[0]: downwards[self._fused[0]]}
        for level in self._given[1:]:
            given[level] = self.up[str(level)](downwards[level], self.shrink[str(level)](given[level - 1]))
        return self._with_added(given)


def _conv_silu(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*conv_norm(channels_in, channels_out, kernel, stride), nn.SiLU(inplace=True))


class _Fusion(nn.Module):
    """Two maps [B, width, h, w] -> one: `repeats` residual convolutions at half the width, and a path around them."""

    def __init__(self, width: int, repeats: int) -> None:
        super().__init__()
        hidden = width // 2
        self.through = _conv_silu(2 * width, hidden, 1)
        self.past = _conv_silu(2 * width, hidden, 1)
        self.convolutions = nn.ModuleList(_conv_silu(hidden, hidden, 3) for _ in range(repeats))
        self.widen = _conv_silu(hidden, width, 1)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        both = torch.cat([one, other], dim=1)
        x = self.through(both)
        for convolution in self.convolutions:
            x = x + convolution(x)
        fused: Tensor = self.widen(x + self.past(both))
        return fused


class _SelfAttention(nn.Module):
    """A transformer encoder layer on the cells of a map: [B, width, h, w] -> the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries_keys = nn.Linear(width, 2 * width)
        self.values = nn.Linear(width, width)
        self.project = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, _WIDENING * width), nn.GELU(), nn.Linear(_WIDENING * width, width))
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        cells: Tensor = x.flatten(2).transpose(1, 2)
        placed = cells + position_code(height, width, cells.shape[-1], cells.device).to(cells.dtype)
        queries, keys = self.queries_keys(placed).chunk(2, dim=-1)
        seen = F.scaled_dot_product_attention(_by_head(queries), _by_head(keys), _by_head(self.values(cells)))
        cells = self.norm1(cells + self.project(seen.transpose(1, 2).flatten(2)))
        cells = self.norm2(cells + self.mlp(cells))
        return cells.transpose(1, 2).reshape(x.shape)


def _by_head(x: Tensor) -> Tensor:
    """[B, cells, width] -> [B, heads, cells, width / heads]."""
    return x.view(*x.shape[:2], _HEADS, -1).transpose(1, 2)


def position_code(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """float32 [height * width, channels]: sine and cosine of x, then of y, in cells, at channels / 4 wavelengths (1 to `_SLOWEST`,
    times 2 pi)."""
    waves = channels // 4
    speeds = _SLOWEST ** -(torch.arange(waves, device=device) / waves)
    x = torch.arange(width, device=device)[:, None] * speeds
    y = torch.arange(height, device=device)[:, None] * speeds
    code_x = torch.cat([x.sin(), x.cos()], dim=1)[None].expand(height, -1, -1)
    code_y = torch.cat([y.sin(), y.cos()], dim=1)[:, None].expand(-1, width, -1)
    return torch.cat([code_x, code_y], dim=2).flatten(0, 1)
