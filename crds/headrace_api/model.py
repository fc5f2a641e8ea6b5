"""`spec.model`: one backbone, an optional neck, any number of heads. A feature map of level i has stride 2^i."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from headrace_api.fields import DnsLabel, Model, Rule
from headrace_api.tasks import Task

Level = Annotated[int, Field(ge=1, le=10)]


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


class _LevelRange(Model):
    bottom_level: Level | None = Field(
        None,
        description="Lowest level the head looks at. Default: the neck's lowest, or without a neck level 3.",
    )
    top_level: Level | None = Field(None, description="Highest level the head looks at. Default: the highest there is.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.topLevel) || !has(self.bottomLevel) || self.topLevel >= self.bottomLevel",
            "topLevel must be at least bottomLevel",
        ),
    )

    @model_validator(mode="after")
    def _levels_in_order(self) -> "_LevelRange":
        if self.top_level is not None and self.bottom_level is not None and self.top_level < self.bottom_level:
            raise ValueError("topLevel must be at least bottomLevel")
        return self


class ObjectDetection(_LevelRange):
    """Boxes and their classes, from several levels with shared weights. Metric: COCO AP."""

    max_detections: int = Field(100, ge=1, le=1000, description="The most boxes given for one image.")


class SemanticSegmentation(_LevelRange):
    """A class for every pixel, from several levels fused. Metrics: mIoU, pixel accuracy."""


class _SingleLevel(Model):
    level: Level | None = Field(None, description="The level the head looks at. Default: the highest there is.")


class MultilabelClassification(_SingleLevel):
    """Any number of labels an image. Metrics: mAP, macro F1."""


class MulticlassClassification(_SingleLevel):
    """One label an image. Metrics: top-1 and top-5 accuracy, macro F1, expected calibration error."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread evenly over all classes.")


HeadOptions = ObjectDetection | SemanticSegmentation | MultilabelClassification | MulticlassClassification

HEAD_FIELDS: dict[str, Task] = {
    "object_detection": Task.OBJECT_DETECTION,
    "semantic_segmentation": Task.SEMANTIC_SEGMENTATION,
    "multilabel_classification": Task.MULTILABEL_CLASSIFICATION,
    "multiclass_classification": Task.MULTICLASS_CLASSIFICATION,
}
"""The fields of the union in a head, and the task each one is for."""

_EXACTLY_ONE = (
    "a head has exactly one task: objectDetection, semanticSegmentation, multilabelClassification or multiclassClassification"
)


class Head(Model):
    """Solves one task. Exactly one of the task fields is given, like the source of a volume."""

    name: DnsLabel = Field(description="Unique within the model; names the head in metrics, logs and pictures.")
    annotations: str = Field(min_length=1, max_length=253, description="Layer of the dataset to learn from; converted if need be.")
    weight: float = Field(1.0, ge=0, le=1e6, description="Factor of this head's loss in the sum.")
    object_detection: ObjectDetection | None = Field(None, description="Boxes with classes.")
    semantic_segmentation: SemanticSegmentation | None = Field(None, description="A class for every pixel.")
    multilabel_classification: MultilabelClassification | None = Field(None, description="Any number of labels an image.")
    multiclass_classification: MulticlassClassification | None = Field(None, description="One label an image.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.objectDetection), has(self.semanticSegmentation), has(self.multilabelClassification),"
            " has(self.multiclassClassification)].filter(x, x).size() == 1",
            _EXACTLY_ONE,
        ),
    )

    @model_validator(mode="after")
    def _exactly_one_task(self) -> "Head":
        if sum(getattr(self, field) is not None for field in HEAD_FIELDS) != 1:
            raise ValueError(_EXACTLY_ONE)
        return self

    @property
    def task(self) -> Task:
        """The one task of this head."""
        return next(task for field, task in HEAD_FIELDS.items() if getattr(self, field) is not None)

    @property
    def options(self) -> HeadOptions:
        """The hyperparameters of the one task."""
        options: HeadOptions = next(o for field in HEAD_FIELDS if (o := getattr(self, field)) is not None)
        return options


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
