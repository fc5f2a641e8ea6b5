"""Second looks at a batch: other views of its images, or the images with synthetic defects, for the heads that learn from them.

Heads that use the same kind of second look share it. It is computed on the device from the network's input and drawn from the
step's generator after all other randomness in the data, so it depends only on the iteration and does not change what other heads
see.

It is a separate pass, not one pass over a batch twice as large: the pass shared by all heads stays unchanged, with the batch
statistics of its own images, and it alone updates the running averages of batch normalisation, which are used for evaluation (the
second pass would mix the look of crops and defects into them). It also spares the other heads the second pass.

The first view is the augmented batch; only the second is changed further. Changing both would take a third pass.

B images, H and W their sides in pixels.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headrace_api.training import Augmentation
from headrace_trainer.data.batches.augment import grayscale, jitter_color
from headrace_trainer.heads.base import Head, Outputs
from headrace_trainer.network.build import Network
from headrace_trainer.ops.pixels import denormalise, normalise
from headrace_trainer.worker.defects import with_defects

_LEAST_AREA: Final = 0.3
"""Smallest area of a crop, as a share of the image."""
_LARGEST_ASPECT: Final = 4 / 3
"""Largest aspect ratio of a crop relative to the image's, or its inverse."""
_COLOR: Final = 0.4
"""Strength of the jitter of brightness, contrast and saturation."""
_GRAY: Final = 0.2
"""Share of views without colour."""

Forward = Callable[[Tensor, Sequence[str]], Mapping[str, Outputs]]
"""(normalised images, names of heads) -> their outputs."""


@dataclass(frozen=True)
class SecondLook:
    """What a head gets from a second look."""

    outputs: Mapping[str, Tensor] = field(default_factory=dict)
    """Under "<key>@2"."""
    targets: Mapping[str, Tensor] = field(default_factory=dict)


class SecondLooks:
    """Makes the second looks that the heads of `network` use; costs nothing if none uses any."""

    def __init__(self, network: Network, augmentation: Augmentation, generator: torch.Generator) -> None:
        heads = {name: cast(Head, head) for name, head in network.heads.items()}
        self._network = network
        self._flip = augmentation.horizontal_flip
        self._generator = generator
        self._of_views = [name for name, head in heads.items() if head.uses_views]
        self._of_defects = [name for name, head in heads.items() if head.uses_defects]

    def __call__(self, inputs: Tensor, forward: Forward) -> dict[str, SecondLook]:
        """By head: a second look at `inputs`, float32 [B, 3, H, W] as the network saw them. Heads that use none are left out."""
        found: dict[str, SecondLook] = {}
        if self._of_views:
            views = random_view(denormalise(inputs), self._flip, self._generator)
            found |= self._pass(views, {}, self._of_views, forward)
        if self._of_defects:
            images, defects = with_defects(denormalise(inputs), self._generator)
            found |= self._pass(images, {"defects": defects}, self._of_defects, forward)
        return found

    def _pass(self, images: Tensor, targets: Mapping[str, Tensor], heads: Sequence[str], forward: Forward) -> dict[str, SecondLook]:
        with running_averages_kept(self._network):
            outputs = forward(normalise(images).contiguous(memory_format=torch.channels_last), heads)
        return {name: SecondLook({f"{key}@2": value for key, value in outputs[name].items()}, targets) for name in heads}


@contextmanager
def running_averages_kept(network: nn.Module) -> Iterator[None]:
    """Batch normalisation in training mode uses its batch's statistics as usual, but does not record them."""
    learning = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    for module in learning:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in learning:
            module.track_running_stats = True


def random_view(images: Tensor, flip: bool, generator: torch.Generator) -> Tensor:
    """float32 [B, 3, H, W], 0 to 1 -> the same shape: a crop of 30 to 100 % of each image's area, enlarged to the image's size,
    mirrored half of the time if `flip`, with colour jitter, sometimes grey.

    Crops are only enlarged, so bilinear interpolation suffices. There is no blur: small images have no detail to spare. If left and
    right matter, they matter in views too: `flip` is the job's augmentation.horizontalFlip.
    """
    drawn = torch.rand((6, len(images)), generator=generator, device=generator.device).to(images.device, non_blocking=True)
    area, aspect, right, down, mirror, colorless = drawn
    area = _LEAST_AREA + (1 - _LEAST_AREA) * area
    aspect = (math.log(_LARGEST_ASPECT) * (2 * aspect - 1)).exp()
    width, height = ((area * ratio).sqrt().clamp(max=1) for ratio in (aspect, 1 / aspect))
    left, top = (2 * right - 1) * (1 - width), (2 * down - 1) * (1 - height)
    zero = torch.zeros_like(width)
    across = torch.where(mirror < 0.5, -width, width) if flip else width
    crop = torch.stack([torch.stack([across, zero, left], dim=1), torch.stack([zero, height, top], dim=1)], dim=1)
    grid = F.affine_grid(crop, list(images.shape), align_corners=False)
    views = F.grid_sample(images, grid, padding_mode="border", align_corners=False).clamp(0, 1)
    views = jitter_color(views, _COLOR, generator)
    return torch.where((colorless < _GRAY)[:, None, None, None], grayscale(views), views)
