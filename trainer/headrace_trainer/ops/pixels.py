"""What the numbers of an image mean: 0 to 255 on disk, 0 to 1 where colours are changed, about 0 in the network."""

from functools import cache
from typing import Final

import torch
from torch import Tensor

IMAGE_MEAN: Final = (0.485, 0.456, 0.406)
"""Of red, green and blue in 0 to 1 over ImageNet, as torchvision's models expect."""
IMAGE_STD: Final = (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """uint8 [B, 3, H, W] (RGB), or float in 0 to 1 -> float32 of zero mean and unit deviation over ImageNet, on the same device."""
    scaled = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    mean, std = _statistics(images.device)
    return (scaled - mean) / std


def denormalise(images: Tensor) -> Tensor:
    """The inverse: float32 [B, 3, H, W] -> in 0 to 1 where it came from there."""
    mean, std = _statistics(images.device)
    return images * std + mean


@cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation, each [3, 1, 1]. Kept on the device: to copy them there at every step is to wait for it."""
    return torch.tensor(IMAGE_MEAN, device=device).view(3, 1, 1), torch.tensor(IMAGE_STD, device=device).view(3, 1, 1)
