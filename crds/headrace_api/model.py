"""`spec.model`: one backbone, an optional neck, any number of heads. A feature map of level i has stride 2^i."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from headrace_api.fields import Model, Rule
from headrace_api.heads import (
    HEAD_FIELDS,
    AnomalyDetection,
    Autoencoding,
    DepthEstimation,
    Head,
    HeadOptions,
    InstanceSegmentation,
    KeypointDetection,
    Level,
    MetricLearning,
    MulticlassClassification,
    MultilabelClassification,
    ObjectDetection,
    PanopticSegmentation,
    QuadrilateralDetection,
    Regression,
    SemanticSegmentation,
    SeveralLevels,
    SingleLevel,
    TextRecognition,
    ViewInvariance,
)

__all__ = [
    "HEAD_FIELDS",
    "AnomalyDetection",
    "Autoencoding",
    "Backbone",
    "DepthEstimation",
    "Fpn",
    "Head",
    "HeadOptions",
    "InstanceSegmentation",
    "KeypointDetection",
    "Level",
    "MetricLearning",
    "MulticlassClassification",
    "MultilabelClassification",
    "Neck",
    "Network",
    "ObjectDetection",
    "PanopticSegmentation",
    "QuadrilateralDetection",
    "Regression",
    "SemanticSegmentation",
    "SeveralLevels",
    "SingleLevel",
    "TextRecognition",
    "ViewInvariance",
    "default_network",
]


class Backbone(Model):
    """Makes feature maps of the levels 1 to topLevel out of the image."""

    name: Literal["resnet18", "resnet34", "resnet50", "resnet101"] = Field(
        "resnet50", description="Architecture, by torchvision's name."
    )
    top_level: int = Field(
        5,
        ge=2,
        le=5,
        description="The highest level made, and the last stage that exists: its stride is 2^topLevel.",
    )


class Fpn(Model):
    """A feature pyramid (Lin et al. 2017, https://arxiv.org/abs/1612.03144)."""

    channels: int = Field(256, ge=8, le=1024, multiple_of=8, description="Channels of every level of the neck.")


class Neck(Model):
    """Fuses the backbone's levels; may add levels above the backbone's top."""

    fpn: Fpn = Field(description="A feature pyramid network.")
    bottom_level: Level = Field(3, description="The lowest level made; the backbone must have it.")
    top_level: Level = Field(7, description="The highest level made; may lie above the backbone's topLevel.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.topLevel >= self.bottomLevel", "neck.topLevel must be at least neck.bottomLevel"),
    )

    @model_validator(mode="after")
    def _levels_in_order(self) -> "Neck":
        if self.top_level < self.bottom_level:
            raise ValueError("neck.topLevel must be at least neck.bottomLevel")
        return self


class Network(Model):
    """Backbone, neck and heads. Without heads, every layer of the dataset that some head can learn gets one with defaults."""

    backbone: Backbone = Field(default_factory=Backbone, description="Makes the features.")
    neck: Neck | None = Field(None, description="Fuses levels. Without one, heads look at the backbone's levels.")
    heads: list[Head] = Field(
        default_factory=list,
        max_length=32,
        description="What is learnt. Empty: one head for each layer of the dataset, named after it.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.neck) || self.neck.bottomLevel <= self.backbone.topLevel",
            "neck.bottomLevel must not lie above backbone.topLevel",
        ),
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "Network":
        if self.neck is not None and self.neck.bottom_level > self.backbone.top_level:
            raise ValueError("neck.bottomLevel must not lie above backbone.topLevel")
        names = [head.name for head in self.heads]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two heads share a name: {', '.join(twice)}")
        return self


def default_network() -> Network:
    """What a job that says nothing about its model gets: ResNet-50 and a feature pyramid over the levels 3 to 7."""
    return Network(backbone=Backbone(), neck=Neck(fpn=Fpn()))
