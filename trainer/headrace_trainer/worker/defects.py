"""Synthetic defects on normal images, from which heads learn what is abnormal; on the device, without synchronising with it.

A defect has the shape of a blot or a scratch with a ragged outline and is one of three kinds: the image itself, distorted, without
any edge; a patch of the image, moved, rotated, mirrored, scaled and distorted (CutPaste, Li et al. 2021,
https://arxiv.org/abs/2104.04015), sometimes recoloured; or a cloud of noise (DRAEM, Zavrtanik et al. 2021,
https://arxiv.org/abs/2108.07610). Patches and noise vary in opacity, and most fade out towards their outline: if all had sharp
edges, the head would only learn edges, which real defects lack. Changes that are too small, such as brick on brick, do not count as
defects (NSA, Schlüter et al. 2022, https://arxiv.org/abs/2109.15222). Patches come from the same image, so that an image never
depends on others in the batch.

B images, H and W their sides in pixels. The unit of length is half the longer side: like `grid_sample`, but equal along both axes.
"""

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

DEFECTS: Final = 2
"""Defects per image, minus those that change too little."""
_SIZES: Final = (0.08, 0.5)
"""Half the side of a square of the defect's area; log-uniform."""
_ASPECT: Final = 6.0
"""Length divided by width of the longest scratch."""
_BENT: Final = 0.4
"""Share of defects that are the image itself, distorted."""
_NOISE: Final = 0.1
"""Share of defects that are noise; the rest are patches."""
_IN_PLACE: Final = 1 / 3
"""Share of patches that stay in place and are only rotated, mirrored and scaled."""
_BEND: Final = 0.3
"""Scale of the distortion's shifts."""
_RECOLORED: Final = 0.3
"""Share of patches whose colours change."""
_SHARP: Final = 0.3
"""Share of patches and noise with a sharp edge."""
_OPAQUE: Final = 0.7
"""Share of patches and noise that are fully opaque."""
_LEAST_CHANGE: Final = 0.08
"""Smallest change that counts as a defect: mean over a pixel's colours (0 to 1) and the 7 × 7 pixels around it."""


def with_defects(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """float32 [B, 3, H, W], 0 to 1 -> the images with DEFECTS defects each, and the defects' pixels: bool [B, H, W]."""
    draw = _Draw(len(images), generator, images.device)
    defects = torch.zeros_like(images[:, 0], dtype=torch.bool)
    for _ in range(DEFECTS):
        images, found = _one_more(images, draw)
        defects |= found
    return images, defects


def _one_more(images: Tensor, draw: "_Draw") -> tuple[Tensor, Tensor]:
    size = (images.shape[2], images.shape[3])
    place, half = _places(size, images.device)
    center = draw.uniform(-1, 1, 2)[:, None, None] * half
    inward = _inward(place - center, draw, size)
    kind = draw.uniform(0, 1)[..., None, None]
    bent, noisy = kind < _BENT, kind >= 1 - _NOISE

    shift = _BEND * draw.clouds(size, 2).permute(0, 2, 3, 1)
    in_place = place + _smooth(inward)[..., None] * (shift + _BEND / 2 * draw.uniform(-1, 1, 2)[:, None, None])
    moved = _source(place - center, center, half, draw) + draw.uniform(0, 1)[..., None, None] * shift
    patch = F.grid_sample(images, torch.where(bent, in_place, moved) / half, padding_mode="reflection", align_corners=False)
    recolored = patch * draw.uniform(0.6, 1.4, 3)[..., None, None] + draw.uniform(-0.1, 0.1, 3)[..., None, None]
    patch = torch.where(~bent & draw.chance(_RECOLORED)[..., None, None], recolored, patch)
    cloud = draw.uniform(0, 1, 3)[..., None, None] + 0.3 * draw.clouds(size, 3)
    opacity = torch.where(bent, (inward > 0)[:, None], _opacity(inward, draw)[:, None])

    changed = torch.lerp(images, torch.where(noisy, cloud, patch).clamp(0, 1), opacity)
    change = F.avg_pool2d((changed - images).abs().mean(dim=1, keepdim=True), 7, stride=1, padding=3, count_include_pad=False)
    return changed, (inward > 0) & (change[:, 0] > _LEAST_CHANGE)


def _places(size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Position of each pixel from the image's centre, [H, W, 2] (x, y), and the image's half width and height, [2]."""
    height, width = size
    half = torch.stack([torch.full((), side / max(size), device=device) for side in (width, height)])
    y, x = (torch.linspace(-1 + 1 / n, 1 - 1 / n, n, device=device) for n in size)
    return torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), dim=-1) * half, half


def _inward(offset: Tensor, draw: "_Draw", size: tuple[int, int]) -> Tensor:
    """Offsets from the centre [B, H, W, 2] -> [B, H, W]: how far each pixel is inside a rotated ellipse or rectangle with a ragged
    outline: about 1 in the middle, 0 on the outline, negative outside."""
    smallest, largest = _SIZES
    side = draw.uniform(math.log(smallest), math.log(largest)).exp()
    stretch = draw.uniform(0, math.log(_ASPECT)).exp().sqrt()
    radii = torch.cat([side * stretch, side / stretch], dim=1)[:, None, None]
    x, y = (_turned(offset, draw.uniform(-math.pi, math.pi)) / radii).abs().unbind(-1)
    distance = torch.where(draw.chance(0.5)[..., None], torch.maximum(x, y), (x.square() + y.square()).sqrt())
    return 1 - distance - draw.uniform(0, 0.5)[..., None] * draw.clouds(size, 1)[:, 0]


def _opacity(inward: Tensor, draw: "_Draw") -> Tensor:
    """Opacity of patches and noise [B, H, W]: 0 outside, rising to its maximum at the outline or some way inside."""
    fading = torch.where(draw.chance(_SHARP), 0.01, draw.uniform(0.1, 0.8))[..., None]
    full = torch.where(draw.chance(_OPAQUE), 1.0, draw.uniform(0.3, 1))[..., None]
    return full * _smooth(inward / fading)


def _smooth(share: Tensor) -> Tensor:
    """0 below 0, 1 above 1, and a smooth curve between."""
    share = share.clamp(0, 1)
    return share.square() * (3 - 2 * share)


def _source(offset: Tensor, center: Tensor, half: Tensor, draw: "_Draw") -> Tensor:
    """For each pixel, the position in the image that a patch's content comes from: [B, H, W, 2]."""
    mirror = torch.cat([draw.sign(), torch.ones_like(draw.sign())], dim=1)[:, None, None]
    zoom = draw.uniform(-0.4, 0.4).exp()[:, None, None]
    origin = torch.where(draw.chance(_IN_PLACE)[:, None, None], center, draw.uniform(-0.8, 0.8, 2)[:, None, None] * half)
    return origin + _turned(offset * mirror, draw.uniform(-math.pi, math.pi)) * zoom


def _turned(points: Tensor, angle: Tensor) -> Tensor:
    """Rotates [B, H, W, 2] by [B, 1] radians."""
    x, y = points.unbind(-1)
    cos, sin = angle.cos()[..., None], angle.sin()[..., None]
    return torch.stack([x * cos - y * sin, x * sin + y * cos], dim=-1)


class _Draw:
    """Draws random numbers independently for each image."""

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
        """Smooth noise [B, count, H, W] around 0, mostly between -1 and 1: coarse and fine in equal parts."""
        layers = [self._rand((self._batch, count, side, side)) * 2 - 1 for side in (4, 12)]
        return sum((F.interpolate(x, size=size, mode="bicubic", align_corners=False) for x in layers), start=torch.zeros(())) / 2

    def _rand(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=self._generator, device=self._generator.device).to(self._device, non_blocking=True)
