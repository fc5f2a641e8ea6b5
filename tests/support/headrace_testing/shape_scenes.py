"""Images of coloured shapes on a noisy background, in memory, with full labels, for heads that predict pixels.

Seeded. Three shapes per image (discs, squares, triangles) overlap; a shape's colour says nothing about its kind.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from headrace_testing.head_cases import tight_boxes

KINDS = ("disc", "square", "triangle")
SHAPES = 3
"""Shapes per image."""


@dataclass(frozen=True)
class Scenes:
    """B images of H = W = `size` pixels."""

    images: Tensor
    """float32 [B, 3, H, W], mean about 0 and standard deviation about 1."""
    layers: Tensor
    """int64 [B, H, W]: the visible shape (later ones are in front); -1 is the background."""
    kinds: Tensor
    """int64 [B, SHAPES]: index into KINDS."""
    ground: Tensor
    """int64 [B, H, W]: 0 in the upper part of the image, 1 in the lower, under shapes too."""
    depth: Tensor
    """float32 [B, H, W], 1 to 10; 0 where unknown: the upper part, outside shapes."""

    @property
    def masks(self) -> Tensor:
        """bool [B, SHAPES, H, W]: the visible part of each shape."""
        return self.layers[:, None] == torch.arange(SHAPES)[:, None, None]

    @property
    def instance_targets(self) -> dict[str, Tensor]:
        """Targets for instance segmentation: every shape, by its kind."""
        here = torch.ones_like(self.kinds, dtype=torch.bool)
        return {"masks": self.masks, "boxes": tight_boxes(self.masks), "classes": self.kinds, "valid": here, "crowd": ~here}

    @property
    def panoptic_targets(self) -> dict[str, Tensor]:
        """Targets for panoptic segmentation: the shapes, then the two parts of the background, whose classes come after KINDS."""
        segments = torch.where(self.layers >= 0, self.layers, SHAPES + self.ground)
        classes = torch.cat([self.kinds, torch.tensor([[len(KINDS), len(KINDS) + 1]]).expand(len(segments), 2)], dim=1)
        here = torch.ones_like(classes, dtype=torch.bool)
        return {"segments": segments, "classes": classes, "valid": here, "crowd": ~here}

    @property
    def depth_targets(self) -> dict[str, Tensor]:
        """Targets for depth estimation."""
        return {"depth": self.depth, "known": self.depth > 0}


def make_scenes(count: int = 8, size: int = 64, seed: int = 0) -> Scenes:
    """`count` scenes. Every shape is at least a sixth of the image wide and partly visible."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    kinds = torch.randint(len(KINDS), (count, SHAPES), generator=generator)
    horizon = size * (0.3 + 0.4 * torch.rand(count, generator=generator))
    ground = (y[None] >= horizon[:, None, None]).long()
    images = torch.where(ground[:, None] == 0, 0.5, -0.5) + 0.2 * torch.randn(count, 3, size, size, generator=generator)
    layers = torch.full((count, size, size), -1)
    # At the corners of a triangle about the centre, in rotated order: shapes overlap, and none hides another.
    corners = torch.tensor([[0.3, 0.3], [0.7, 0.35], [0.45, 0.7]])
    for image in range(count):
        for shape, place in enumerate(torch.randperm(SHAPES, generator=generator).tolist()):
            center = size * (corners[place] + 0.1 * (torch.rand(2, generator=generator) - 0.5))
            radius = size * (0.15 + 0.08 * torch.rand((), generator=generator))
            inside = _inside(KINDS[kinds[image, shape]], (x - center[0]) / radius, (y - center[1]) / radius)
            layers[image, inside] = shape
            color = 2 * torch.rand(3, generator=generator).sub(0.5).sign() * (0.6 + 0.4 * torch.rand(3, generator=generator))
            images[image, :, inside] = color[:, None] + 0.2 * images[image, :, inside]
    distances = 1 + 4 * torch.rand(count, SHAPES, generator=generator)
    return Scenes(images, layers, kinds, ground, _depth(layers, ground, distances))


def _depth(layers: Tensor, ground: Tensor, distances: Tensor) -> Tensor:
    """The lower background comes nearer row by row, 10 to 5; shapes stand in front of it, each at its own distance [B, SHAPES]."""
    rows = torch.linspace(10, 5, ground.shape[1])[:, None].expand_as(ground)
    of_ground = torch.where(ground == 1, rows, 0)
    of_shapes = distances.gather(1, layers.clamp(min=0).flatten(1)).view(layers.shape)
    return torch.where(layers >= 0, of_shapes, of_ground)


def _inside(kind: str, x: Tensor, y: Tensor) -> Tensor:
    """Where a shape of radius 1 around the origin is."""
    if kind == "disc":
        return x.square() + y.square() <= 1
    if kind == "square":
        return torch.maximum(x.abs(), y.abs()) <= 0.85
    return (y <= 0.8) & (2 * x.abs() - 0.9 <= y)
