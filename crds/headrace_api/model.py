"""`spec.model`: one backbone, an optional neck, any number of heads. A feature map of level i has stride 2^i."""

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from headrace_api.fields import Model, Rule, S3Uri
from headrace_api.heads import Head, Level
from headrace_api.storage import Storage

TORCHVISION_BACKBONES: Final = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
    *("convnext_tiny", "convnext_small", "convnext_base"),
    *("efficientnet_v2_s", "efficientnet_v2_m"),
    *("mobilenet_v3_small", "mobilenet_v3_large"),
    *("regnet_x_400mf", "regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_3_2gf", "regnet_x_8gf"),
    *("regnet_y_400mf", "regnet_y_800mf", "regnet_y_1_6gf", "regnet_y_3_2gf", "regnet_y_8gf"),
    *("swin_t", "swin_s", "swin_v2_t"),
)
"""Their names in torchvision. ConvNeXt and Swin start at level 2, the others at level 1."""

MOST_HEADS: Final = 32
"""Per network. The API server uses this bound to estimate the cost of CEL rules."""

_TIMM = "^timm/[a-zA-Z0-9_.-]+$"
_BACKBONE_NAMES = f"{', '.join(TORCHVISION_BACKBONES)}, or timm/<name>"
_UNKNOWN_BACKBONE = f"backbone.name must be one of {_BACKBONE_NAMES}"


def _known_backbone(name: str) -> str:
    if name not in TORCHVISION_BACKBONES and not re.search(_TIMM, name):
        raise ValueError(_UNKNOWN_BACKBONE)
    return name


class Backbone(Model):
    """Turns the image into feature maps of level 1 (some architectures: 2) to topLevel."""

    name: Annotated[
        str,
        Rule(f"self in {list(TORCHVISION_BACKBONES)} || self.matches('{_TIMM}')", _UNKNOWN_BACKBONE),
        AfterValidator(_known_backbone),
    ] = Field(
        "resnet50",
        max_length=128,
        description=f"Architecture, by its torchvision name: {_BACKBONE_NAMES} for timm's, if the trainer image has timm (extra "
        "timm). Lowest level: 2 for ConvNeXt and Swin, 1 for the other torchvision names.",
    )
    top_level: int = Field(
        5,
        ge=2,
        le=5,
        description="The highest level, with stride 2^topLevel. Later stages of the architecture are not built.",
    )
    frozen_levels: int = Field(
        0,
        ge=0,
        le=5,
        description="Levels up to this one are not trained: their weights and batch-normalisation statistics stay fixed. Useful "
        "with initialWeights.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.frozenLevels <= self.topLevel", "backbone.frozenLevels must not be above backbone.topLevel"),
    )

    @model_validator(mode="after")
    def _frozen_levels_exist(self) -> "Backbone":
        if self.frozen_levels > self.top_level:
            raise ValueError("backbone.frozenLevels must not be above backbone.topLevel")
        return self


class Fpn(Model):
    """A feature pyramid (Lin et al. 2017, https://arxiv.org/abs/1612.03144): from the top down."""

    channels: int = Field(256, ge=8, le=1024, multiple_of=8, description="Channels of every level of the neck.")


class BiFpn(Model):
    """A weighted pyramid (Tan et al. 2020, https://arxiv.org/abs/1911.09070): down and back up, several times."""

    channels: int = Field(128, ge=8, le=1024, multiple_of=8, description="Channels of every level of the neck.")
    repeats: int = Field(3, ge=1, le=8, description="How many times features go down and up.")


class HybridEncoder(Model):
    """RT-DETR's encoder (Zhao et al. 2024, https://arxiv.org/abs/2304.08069): attention at the top, then down and up once."""

    channels: int = Field(256, ge=8, le=1024, multiple_of=8, description="Channels of every level of the neck.")
    repeats: int = Field(3, ge=1, le=8, description="Convolutions in each fusion of two levels.")


_ONE_NECK = "neck needs exactly one of fpn, biFpn and hybridEncoder"


class Neck(Model):
    """Fuses the backbone's levels; may add levels above the backbone's top. Exactly one kind is set."""

    fpn: Fpn | None = Field(None, description="A feature pyramid network.")
    bi_fpn: BiFpn | None = Field(None, description="A weighted bidirectional feature pyramid network.")
    hybrid_encoder: HybridEncoder | None = Field(None, description="RT-DETR's hybrid encoder.")
    bottom_level: Level = Field(3, description="The lowest level of the neck; the backbone must have it.")
    top_level: Level = Field(7, description="The highest level of the neck; may be above the backbone's topLevel.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("[has(self.fpn), has(self.biFpn), has(self.hybridEncoder)].filter(x, x).size() == 1", _ONE_NECK),
        Rule("self.topLevel >= self.bottomLevel", "neck.topLevel must be at least neck.bottomLevel"),
    )

    @model_validator(mode="after")
    def _one_kind_with_levels_in_order(self) -> "Neck":
        if sum(kind is not None for kind in (self.fpn, self.bi_fpn, self.hybrid_encoder)) != 1:
            raise ValueError(_ONE_NECK)
        if self.top_level < self.bottom_level:
            raise ValueError("neck.topLevel must be at least neck.bottomLevel")
        return self


class InitialWeights(Model):
    """Weights to start from. What fits by name and shape is loaded; the log lists what was loaded and what was not."""

    uri: S3Uri = Field(
        description="An earlier job's run folder or the model/ folder in it, or a file of backbone weights under torchvision's "
        "parameter names: .safetensors, or .pth as torchvision publishes it."
    )
    storage: Storage | None = Field(None, description="Credentials for it, if they are not those of spec.storage.")


class Network(Model):
    """Backbone, neck and heads. Without heads, each layer of the dataset that a head can learn gets one with default options."""

    backbone: Backbone = Field(default_factory=Backbone, description="Computes the features.")
    neck: Neck | None = Field(None, description="Fuses levels. Without a neck, heads use the backbone's levels.")
    initial_weights: InitialWeights | None = Field(
        None, description="Weights to start from, instead of random ones. A job that resumes from its checkpoint ignores them."
    )
    heads: list[Head] = Field(
        default_factory=list,
        max_length=MOST_HEADS,
        description="What to learn. Empty: one head for each layer of the dataset, named after it.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    loss_weights: Literal["fixed", "uncertainty"] = Field(
        "fixed",
        description="How the heads' losses are added up. fixed: each times its head's weight. uncertainty: each is also divided by "
        "a learned variance (Kendall et al. 2018, https://arxiv.org/abs/1705.07115), so that large and small losses count alike.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.neck) || self.neck.bottomLevel <= self.backbone.topLevel",
            "neck.bottomLevel must not be above backbone.topLevel",
        ),
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "Network":
        if self.neck is not None and self.neck.bottom_level > self.backbone.top_level:
            raise ValueError("neck.bottomLevel must not be above backbone.topLevel")
        names = [head.name for head in self.heads]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two heads share a name: {', '.join(twice)}")
        return self


def default_network() -> Network:
    """The model of a job that sets none: ResNet-50 and a feature pyramid over levels 3 to 7."""
    return Network(backbone=Backbone(), neck=Neck(fpn=Fpn()))
