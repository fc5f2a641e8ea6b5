"""Builds the whole network from its description: backbone, neck, heads.

Images are float32 [B, 3, H, W], RGB, of any height and width, normalised (ops/pixels.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from headrace_api import model
from headrace_api.errors import FatalError
from headrace_api.heads import Head, HeadOptions, SeveralLevels
from headrace_api.names import Reason
from headrace_trainer.heads import all as _all_heads  # noqa: F401 - fills the registry
from headrace_trainer.heads.base import Outputs, head_factory
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.backbones import Backbone, build_backbone
from headrace_trainer.network.necks import Neck, build_neck

DEFAULT_BOTTOM_LEVEL: Final = 3
"""Lowest level that heads on several levels use without a neck: features below it show little but edges."""


@dataclass(frozen=True)
class HeadPlan:
    """A head as the job describes it, and its label space."""

    spec: Head
    labels: LabelSpace


_HEAD: Final = "head-"


def prefix_of_head(name: str) -> str:
    """Prefix of the names of a head's parameters and buffers in the network's state."""
    return f"{_HEAD}{name}."


def head_of(parameter: str) -> str | None:
    """Name of the head that a parameter of the network belongs to; None for the backbone's and the neck's."""
    return parameter.removeprefix(_HEAD).split(".")[0] if parameter.startswith(_HEAD) else None


class Network(nn.Module):
    """Images -> outputs of every head by name."""

    def __init__(self, backbone: Backbone, neck: Neck | None, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self._names = tuple(heads)
        for name, head in heads.items():
            # Not a ModuleDict, which rejects a head called "values" or "type"; a name with a hyphen cannot clash with an attribute.
            self.add_module(f"{_HEAD}{name}", head)

    @property
    def heads(self) -> dict[str, nn.Module]:
        """The heads by name."""
        return {name: self.get_submodule(f"{_HEAD}{name}") for name in self._names}

    def features(self, images: Tensor) -> dict[int, Tensor]:
        """The maps that heads read, by level: the neck's, or the backbone's if there is no neck."""
        features: dict[int, Tensor] = self.backbone(images)
        if self.neck is not None:
            features = self.neck(features)
        return features

    def forward(self, images: Tensor, heads: Sequence[str] | None = None) -> dict[str, Outputs]:
        """Outputs of all heads, or of the named ones."""
        features = self.features(images)
        return {name: head(features) for name, head in self.heads.items() if heads is None or name in heads}


def build_network(network: model.Network, heads: Sequence[HeadPlan]) -> Network:
    """The network with fresh random weights (from torch's global generator).

    Raises FatalError: BAD_MODEL if the neck or a head names a level that does not exist, a task has no head or the backbone is not
    available; BAD_DATASET if a head has no classes, keypoints, values or characters to learn.
    """
    backbone = build_backbone(network.backbone)
    neck = None if network.neck is None else build_neck(network.neck, backbone.channels)
    channels = backbone.channels if neck is None else neck.channels
    lowest = min(DEFAULT_BOTTOM_LEVEL, max(channels)) if neck is None else min(channels)
    built = {plan.spec.name: _build_head(plan, channels, lowest) for plan in heads}
    if network.loss_weights == "uncertainty":
        for head in built.values():
            head.register_parameter("log_variance", nn.Parameter(torch.zeros(())))
    return Network(backbone, neck, built)


def check_batch_normalisation(backbone: Backbone, batch_size: int, height: int, width: int) -> None:
    """Raise FatalError(BAD_MODEL) if images of this size leave batch normalisation a single value per channel to learn from.

    That happens if the backbone has batch normalisation that is not frozen, its top level (stride 2^top) is 1 × 1 and the batch is
    one image. Necks and heads use GroupNorm.
    """
    top = max(backbone.channels)
    if backbone.learns_batch_statistics and batch_size * -(-height // 2**top) * -(-width // 2**top) < 2:
        raise FatalError(
            Reason.BAD_MODEL,
            f"batch normalisation cannot train on one value per channel: backbone level {top} is 1 × 1 for images "
            f"of {height} × {width} pixels, and batchSize is 1; raise batchSize or imageSize, or lower backbone.topLevel",
        )


def check_views(heads: Sequence[Head], batch_size: int) -> None:
    """Raise FatalError(BAD_MODEL) if view invariance has no other images in the batch to contrast with: features would collapse."""
    alone = [head.name for head in heads if head.view_invariance is not None]
    if alone and batch_size == 1:
        raise FatalError(
            Reason.BAD_MODEL,
            f"head '{alone[0]}': view invariance compares the images of a batch, but batchSize is 1; raise it to 16 or more",
        )


def _build_head(plan: HeadPlan, channels: Mapping[int, int], lowest: int) -> nn.Module:
    try:
        return head_factory(plan.spec.task)(_with_lowest_level(plan.spec.options, lowest), channels, plan.labels)
    except FatalError as error:
        raise FatalError(error.reason, f"head '{plan.spec.name}': {error.message}") from error


def _with_lowest_level(options: HeadOptions, lowest: int) -> HeadOptions:
    """`options` with the default for `bottom_level` filled in if the head reads several levels."""
    if isinstance(options, SeveralLevels) and options.bottom_level is None:
        bottom = lowest if options.top_level is None else min(lowest, options.top_level)
        return options.model_copy(update={"bottom_level": bottom})
    return options
