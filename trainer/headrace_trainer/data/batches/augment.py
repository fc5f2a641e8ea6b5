"""Random changes to training images: where they land, drawn here and applied on the CPU; their colours, changed on the device."""

import math

import numpy as np
import torch
from torch import Tensor

from headrace_api.training import Augmentation
from headrace_trainer.data.targets.geometry import Geometry, zoomed

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), as in torchvision."""


def random_geometry(
    source: tuple[int, int], canvas: tuple[int, int], augmentation: Augmentation, random: np.random.Generator
) -> Geometry:
    """Mirror half of the time; zoom by a log-uniform factor; place at random. Sizes are (height, width)."""
    flip = bool(random.random() < 0.5) and augmentation.horizontal_flip
    zoom = math.exp(random.uniform(math.log(augmentation.scale.min), math.log(augmentation.scale.max)))
    down, across = random.random(2)
    return zoomed(source, canvas, zoom, (float(down), float(across)), flip)


def jitter_color(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and saturation of images float [B, 3, H, W] in 0 to 1, each by its own factor per image, from
    1 - strength to 1 + strength.

    One pass over the batch, in a fixed order, on the images' device, without synchronising with the host; `generator` may be on
    another device (a CPU generator makes CUDA runs repeatable on any card).
    """
    if strength == 0:
        return images
    factors = 1 + strength * (2 * torch.rand((3, images.shape[0], 1, 1, 1), generator=generator, device=generator.device) - 1)
    brightness, contrast, saturation = factors.to(images.device, images.dtype, non_blocking=True)
    images = (images * brightness).clamp(0, 1)
    images = torch.lerp(grayscale(images).mean(dim=(2, 3), keepdim=True), images, contrast).clamp(0, 1)
    return torch.lerp(grayscale(images), images, saturation).clamp(0, 1)


def grayscale(images: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, 1, H, W]"""
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
