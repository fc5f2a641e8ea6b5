"""Architectures that turn images into feature maps by level: torchvision's, and timm's with the `timm` extra."""

from headrace_api import model
from headrace_trainer.network.backbones.base import Backbone
from headrace_trainer.network.backbones.timm_models import PREFIX, TimmBackbone
from headrace_trainer.network.backbones.torchvision_models import TorchvisionBackbone

__all__ = ["Backbone", "build_backbone"]


def build_backbone(spec: model.Backbone) -> Backbone:
    """The backbone with fresh random weights and the job's frozen levels.

    Raises FatalError(BAD_MODEL) if the architecture is not available, lacks the levels, or cannot be frozen by level.
    """
    if spec.name.startswith(PREFIX):
        backbone: Backbone = TimmBackbone(spec.name, spec.top_level)
    else:
        backbone = TorchvisionBackbone(spec.name, spec.top_level)
    backbone.freeze(spec.frozen_levels)
    return backbone
