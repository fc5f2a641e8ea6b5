"""What every backbone is: feature maps by level, some of whose levels may be frozen."""

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
"""Pixels of the image that shows a backbone's channels: two cells at level 5."""


class Backbone(nn.Module, ABC):
    """float32 [B, 3, H, W] -> {level: [B, channels[level], ceil(H / 2^level), ceil(W / 2^level)]}, from the lowest level that the
    architecture has to the top.

    Frozen levels stay as they are whatever is done to the network: no gradient, and evaluation mode (statistics of batch
    normalisation fixed, no layer dropped) also after `train()`.
    """

    name: str
    channels: dict[int, int]
    frozen_levels: int = 0

    @abstractmethod
    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """The features by level, from the lowest up."""

    @abstractmethod
    def stages(self) -> Mapping[int, Sequence[nn.Module]]:
        """The modules that make each level out of the one below it; the lowest, out of the image.

        Raises FatalError(BAD_MODEL) where that is not known.
        """

    def name_in_checkpoint(self, name: str) -> str:
        """What a checkpoint of the library that this architecture comes from calls the parameter or buffer `name`."""
        return name

    def freeze(self, levels: int) -> None:
        """Freeze all that makes the levels up to `levels`; 0 freezes nothing.

        Raises FatalError(BAD_MODEL) where there is no such level to freeze.
        """
        if levels == 0:
            return
        if levels not in self.channels:
            raise FatalError(
                Reason.BAD_MODEL,
                f"backbone.frozenLevels is {levels}, and {self.name} has {in_words(self.channels)}: freeze up to one of them",
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
        """Whether it has batch normalisation that is not frozen; as it stands, in training mode."""
        return any(isinstance(module, _BatchNorm) and module.training for module in self.modules())

    def _frozen(self) -> Iterator[nn.Module]:
        if self.frozen_levels:
            for level, modules in self.stages().items():
                if level <= self.frozen_levels:
                    yield from modules


@torch.no_grad()
def channels_of(backbone: Backbone) -> dict[int, int]:
    """The channels of every level, looked up in what it makes of a black image."""
    backbone.eval()
    features = backbone(torch.zeros(1, 3, _PROBE_SIDE, _PROBE_SIDE))
    backbone.train()
    for level, x in features.items():
        assert x.shape[-2:] == (_PROBE_SIDE // 2**level,) * 2, f"level {level} is {list(x.shape)}"
    return {level: x.shape[1] for level, x in features.items()}


def in_words(levels: Mapping[int, int]) -> str:
    """ "the levels 2, 3, 4, 5", of a dict by level."""
    return f"the levels {', '.join(map(str, sorted(levels)))}"


def filled_up(x: Tensor, stride: int) -> Tensor:
    """[B, C, H, W] with zeros right and below, to a multiple of `stride`."""
    height, width = x.shape[-2:]
    if height % stride == 0 and width % stride == 0:
        return x
    return F.pad(x, (0, -width % stride, 0, -height % stride))
