"""The interface of backbones: feature maps by level, optionally with frozen levels."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headrace_api.errors import FatalError
from headrace_api.names import Reason

_PROBE_SIDE = 64
"""Side, in pixels, of the image used to find a backbone's channels: two cells at level 5."""


class Backbone(nn.Module, ABC):
    """float32 [B, 3, H, W] -> {level: [B, channels[level], ceil(H / 2^level), ceil(W / 2^level)]}, from the architecture's lowest
    level to the top level.

    Frozen levels never change: they get no gradient and stay in evaluation mode (fixed batch normalisation statistics, no dropout
    of layers) even after `train()`.
    """

    name: str
    channels: dict[int, int]
    frozen_levels: int = 0

    @abstractmethod
    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """The features by level, from the lowest up."""

    @abstractmethod
    def stages(self) -> Mapping[int, Sequence[nn.Module]]:
        """The modules that compute each level from the one below it, and the lowest level from the image.

        Raises FatalError(BAD_MODEL) if that is not known.
        """

    def name_in_checkpoint(self, name: str) -> str:
        """The name of the parameter or buffer `name` in checkpoints of the architecture's own library."""
        return name

    def freeze(self, levels: int) -> None:
        """Freeze everything up to and including the level `levels`; 0 freezes nothing.

        Raises FatalError(BAD_MODEL) if there is no such level.
        """
        if levels == 0:
            return
        if levels not in self.channels:
            raise FatalError(
                Reason.BAD_MODEL,
                f"backbone.frozenLevels is {levels}, but {self.name} has {in_words(self.channels)}: set it to one of them",
            )
        self.frozen_levels = levels
        for module in self._frozen():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    @property
    def learns_batch_statistics(self) -> bool:
        """Whether it currently has batch normalisation in training mode, that is, not frozen."""
        return any(isinstance(module, _BatchNorm) and module.training for module in self.modules())

    def _frozen(self) -> Iterator[nn.Module]:
        if self.frozen_levels:
            for level, modules in self.stages().items():
                if level <= self.frozen_levels:
                    yield from modules


@torch.no_grad()
def channels_of(backbone: Backbone) -> dict[int, int]:
    """The channels of every level, found by running the backbone on a black image."""
    backbone.eval()
    features = backbone(torch.zeros(1, 3, _PROBE_SIDE, _PROBE_SIDE))
    backbone.train()
    for level, x in features.items():
        assert x.shape[-2:] == (_PROBE_SIDE // 2**level,) * 2, f"level {level} is {list(x.shape)}"
    return {level: x.shape[1] for level, x in features.items()}


def in_words(levels: Mapping[int, int]) -> str:
    """ "the levels 2, 3, 4, 5" for a dict by level."""
    return f"the levels {', '.join(map(str, sorted(levels)))}"


def filled_up(x: Tensor, stride: int) -> Tensor:
    """[B, C, H, W], zero-padded on the right and bottom to a multiple of `stride`."""
    height, width = x.shape[-2:]
    if height % stride == 0 and width % stride == 0:
        return x
    return F.pad(x, (0, -width % stride, 0, -height % stride))
