"""Architectures that make feature maps by level out of images: torchvision's, and with an extra timm's."""

from headrace_api import model
from headrace_trainer.network.backbones.base import Backbone
from headrace_trainer.network.backbones.timm_models import PREFIX, TimmBackbone
from headrace_trainer.network.backbones.torchvision_models import TorchvisionBackbone

__all__ = ["Backbone", "build_backbone"]


def build_backbone(spec: model.Backbone) -> Backbone:
    """The backbone with fresh random weights, the levels frozen that the job wants frozen.

    Raises FatalError(BAD_MODEL) where the architecture is not there, has no such levels, or cannot be frozen by level.
    """
    if spec.name.startswith(PREFIX):
        backbone: Backbone = TimmBackbone(spec.name, spec.top_level)
    else:
        backbone = TorchvisionBackbone(spec.name, spec.top_level)
    backbone.freeze(spec.frozen_levels)
    return backbone
