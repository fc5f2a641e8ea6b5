"""Value ranges of an image: 0 to 255 on disk, 0 to 1 during colour augmentation, around 0 in the network."""

from functools import cache
from typing import Final

import torch
from torch import Tensor

IMAGE_MEAN: Final = (0.485, 0.456, 0.406)
"""Red, green and blue, 0 to 1, over ImageNet, as torchvision's models expect."""
IMAGE_STD: Final = (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """uint8 [B, 3, H, W] (RGB) or float from 0 to 1 -> float32 with zero mean and unit deviation over ImageNet, same device."""
    scaled = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    mean, std = _statistics(images.device)
    return (scaled - mean) / std


def denormalise(images: Tensor) -> Tensor:
    """The inverse of `normalise`: float32 [B, 3, H, W] -> float32, 0 to 1 if the input was."""
    mean, std = _statistics(images.device)
    return images * std + mean


@cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation, each [3, 1, 1]. Cached on the device: copying them at every step would synchronise with it."""
    return torch.tensor(IMAGE_MEAN, device=device).view(3, 1, 1), torch.tensor(IMAGE_STD, device=device).view(3, 1, 1)
