"""Made-up defects on normal images, for heads that learn from them what is not normal; on the device, without waiting for it.

A defect is a patch of the image itself that was moved, turned, mirrored, scaled, bent and changed in colour (CutPaste, Li et al.
2021, https://arxiv.org/abs/2104.04015), or a cloud of noise (DRAEM, Zavrtanik et al. 2021, https://arxiv.org/abs/2108.07610), more
or less opaque, in the shape of a blot or a scratch with a ragged edge. Patches come from the same image, so that what an image
looks like depends on no other. Where a patch changes next to nothing, as brick on brick may, there is no defect to find (NSA,
Schlüter et al. 2022, https://arxiv.org/abs/2109.15222).

B images, H and W their sides in pixels. Lengths are in halves of the longer side, as in `grid_sample`, but equal along both axes.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

DEFECTS: Final = 3
"""Of an image, less those that change nothing."""
_SIZES: Final = (0.05, 0.4)
"""Half the side of a square as large as the patch; evenly on a logarithmic scale."""
_ASPECT: Final = 6.0
"""Length by breadth of the longest scratch."""
_NOISE: Final = 1 / 4
"""Share of defects that are noise; the rest are patches."""
_IN_PLACE: Final = 1 / 3
"""Share of patches that stay where they are, and are only turned, mirrored and scaled."""
_BEND: Final = 0.25
"""How far a patch's pixels are shifted against each other at most."""
_LEAST_CHANGE: Final = 0.03
"""Mean change of a pixel's colours, of 0 to 1, over 7 × 7 pixels around it, from which on there is a defect."""


def with_defects(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """float32 [B, 3, H, W] in 0 to 1 -> the same with DEFECTS of them each, and bool [B, H, W]: their pixels."""
    draw = _Draw(len(images), generator, images.device)
    defects = torch.zeros_like(images[:, 0], dtype=torch.bool)
    for _ in range(DEFECTS):
        images, found = _one_more(images, draw)
        defects |= found
    return images, defects


def _one_more(images: Tensor, draw: "_Draw") -> tuple[Tensor, Tensor]:
    height, width = images.shape[-2:]
    half = torch.tensor([width, height], device=images.device) / max(width, height)
    y, x = (torch.linspace(-1 + 1 / n, 1 - 1 / n, n, device=images.device) for n in (height, width))
    place = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), dim=-1) * half  # [H, W, 2]
    center = draw.uniform(-1, 1, 2)[:, None, None] * half  # [B, 1, 1, 2]

    inside = _shape(place - center, draw, (height, width))
    source = _source(place - center, center, half, draw)
    source = source + _BEND * draw.uniform(0, 1)[..., None, None] * draw.clouds((height, width), 2).permute(0, 2, 3, 1)
    patch = F.grid_sample(images, source / half, padding_mode="reflection", align_corners=False)
    patch = patch * draw.uniform(0.6, 1.4, 3)[:, :, None, None] + draw.uniform(-0.1, 0.1, 3)[:, :, None, None]
    cloud = draw.uniform(0, 1, 3)[:, :, None, None] + 0.3 * draw.clouds((height, width), 3)
    opacity = draw.uniform(0.3, 1)[..., None, None]
    content = torch.where(draw.chance(_NOISE)[..., None, None], cloud, patch).clamp(0, 1)
    changed = torch.where(inside[:, None], torch.lerp(images, content, opacity), images)
    change = F.avg_pool2d((changed - images).abs().mean(dim=1, keepdim=True), 7, stride=1, padding=3, count_include_pad=False)
    return changed, inside & (change[:, 0] > _LEAST_CHANGE)


def _shape(offset: Tensor, draw: "_Draw", size: tuple[int, int]) -> Tensor:
    """Offsets from the centre [B, H, W, 2] -> bool [B, H, W]: within a turned ellipse or rectangle with a ragged edge."""
    low, high = (torch.tensor(value).log().item() for value in _SIZES)
    side = draw.uniform(low, high).exp()
    stretch = draw.uniform(0, torch.tensor(_ASPECT).log().item()).exp().sqrt()
    radii = torch.cat([side * stretch, side / stretch], dim=1)[:, None, None]
    x, y = (_turned(offset, draw.uniform(-torch.pi, torch.pi)) / radii).abs().unbind(-1)
    distance = torch.where(draw.chance(0.5)[..., None], torch.maximum(x, y), (x.square() + y.square()).sqrt())
    return distance + draw.uniform(0, 0.5)[..., None] * draw.clouds(size, 1)[:, 0] < 1


def _source(offset: Tensor, center: Tensor, half: Tensor, draw: "_Draw") -> Tensor:
    """Where in the image the content of a patch comes from, for each pixel: [B, H, W, 2]."""
    mirror = torch.cat([draw.sign(), torch.ones_like(draw.sign())], dim=1)[:, None, None]
    zoom = draw.uniform(-0.4, 0.4).exp()[:, None, None]
    origin = torch.where(draw.chance(_IN_PLACE)[:, None, None], center, draw.uniform(-0.8, 0.8, 2)[:, None, None] * half)
    return origin + _turned(offset * mirror, draw.uniform(-torch.pi, torch.pi)) * zoom


def _turned(points: Tensor, angle: Tensor) -> Tensor:
    """[B, H, W, 2] by [B, 1] radians."""
    x, y = points.unbind(-1)
    cos, sin = angle.cos()[..., None], angle.sin()[..., None]
    return torch.stack([x * cos - y * sin, x * sin + y * cos], dim=-1)


class _Draw:
    """Random numbers, for each image its own."""

    def __init__(self, batch: int, generator: torch.Generator, device: torch.device) -> None:
        self._batch, self._generator, self._device = batch, generator, device

    def uniform(self, low: float, high: float, count: int = 1) -> Tensor:
        """[B, count]"""
        return low + (high - low) * self._rand((self._batch, count))

    def chance(self, share: float) -> Tensor:
        """bool [B, 1]"""
        return self._rand((self._batch, 1)) < share

    def sign(self) -> Tensor:
        """[B, 1]: -1 or 1"""
        return self.chance(0.5).float() * 2 - 1

    def clouds(self, size: tuple[int, int], count: int) -> Tensor:
        """Smooth noise [B, count, H, W] around 0, mostly between -1 and 1: coarse and fine, as much of either."""
        layers = [self._rand((self._batch, count, side, side)) * 2 - 1 for side in (4, 12)]
        return sum((F.interpolate(x, size=size, mode="bicubic", align_corners=False) for x in layers), start=torch.zeros(())) / 2

    def _rand(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=self._generator, device=self._generator.device).to(self._device, non_blocking=True)
