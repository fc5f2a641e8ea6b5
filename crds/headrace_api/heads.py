"""`spec.model.heads`: what to learn. One model of options per task, and the head that has exactly one of them."""

from typing import Annotated, ClassVar

from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel

from headrace_api.fields import DnsLabel, Model, Rule
from headrace_api.tasks import Task

Level = Annotated[int, Field(ge=1, le=10)]


class HeadOptions(Model):
    """The hyperparameters of one task's head."""


class SeveralLevels(HeadOptions):
    """Options of a head that uses a range of levels."""

    bottom_level: Level | None = Field(
        None,
        description="Lowest level the head uses. Default: the neck's lowest, or level 3 without a neck.",
    )
    top_level: Level | None = Field(None, description="Highest level the head uses. Default: the highest available.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.topLevel) || !has(self.bottomLevel) || self.topLevel >= self.bottomLevel",
            "topLevel must be at least bottomLevel",
        ),
    )

    @model_validator(mode="after")
    def _levels_in_order(self) -> "SeveralLevels":
        if self.top_level is not None and self.bottom_level is not None and self.top_level < self.bottom_level:
            raise ValueError("topLevel must be at least bottomLevel")
        return self


class SingleLevel(HeadOptions):
    """Options of a head that uses one level."""

    level: Level | None = Field(None, description="The level the head uses. Default: the highest available.")


class PanopticSegmentation(SeveralLevels):
    """A segment for every pixel: countable things one by one, stuff by class. Metrics: PQ, SQ, RQ."""

    max_detections: int = Field(100, ge=1, le=1000, description="Most things predicted per image.")


class InstanceSegmentation(SeveralLevels):
    """A mask and a class for each object. Metric: COCO mask AP."""

    max_detections: int = Field(100, ge=1, le=1000, description="Most objects predicted per image.")


class SemanticSegmentation(SeveralLevels):
    """A class for every pixel, from several fused levels. Metrics: mIoU, pixel accuracy."""


class KeypointDetection(SeveralLevels):
    """Named points of each object, with its box and class. Metric: OKS AP."""

    max_detections: int = Field(20, ge=1, le=1000, description="Most objects predicted per image; COCO's metric counts 20.")


class QuadrilateralDetection(SeveralLevels):
    """Four corners of each object, in reading order, and its class. Metric: AP by the IoU of polygons."""

    max_detections: int = Field(100, ge=1, le=1000, description="Most quadrilaterals predicted per image.")


class ObjectDetection(SeveralLevels):
    """Boxes and their classes, from several levels with shared weights. Metric: COCO AP."""

    max_detections: int = Field(100, ge=1, le=1000, description="Most boxes predicted per image.")


class MultilabelClassification(SingleLevel):
    """Any number of labels per image. Metrics: mAP, macro F1."""


class MulticlassClassification(SingleLevel):
    """One label per image. Metrics: top-1 and top-5 accuracy, macro F1, expected calibration error."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread evenly over all classes.")
    ordinal: bool = Field(
        False,
        description="The classes are steps of a scale, in the order of the layer's `classes` in dataset.json, otherwise in "
        "alphabetical order. Near misses get partial credit, and the score is the mean absolute error.",
    )


class MetricLearning(SingleLevel):
    """One vector per image, close to those of the same identity. Metrics: recall at 1 and 5, mAP of retrieval."""

    dimensions: int = Field(128, ge=2, le=2048, description="Length of the vector.")


class Regression(SingleLevel):
    """Numbers for the whole image. Metrics: MAE, RMSE, R²."""


class DepthEstimation(SeveralLevels):
    """A depth for every pixel, from several fused levels. Metrics: AbsRel, RMSE, share of pixels within a factor of 1.25."""


class AnomalyDetection(SeveralLevels):
    """How far an image, and each of its pixels, is from normal; learned from normal images only. Metric: AUROC."""


class TextRecognition(HeadOptions):
    """The text of a one-line image. Metrics: character error rate, exact matches."""

    level: Level | None = Field(
        None,
        description="The level the head uses. Default: 3, or the one closest to it. Higher levels are too coarse to tell small "
        "characters apart.",
    )


class Autoencoding(SingleLevel):
    """Reconstructs the image from one level's features; needs no annotations. Metric: PSNR."""


class ViewInvariance(SingleLevel):
    """Features that two views of an image share; needs no annotations. Metrics: accuracy of nearest neighbours, deviation."""

    dimensions: int = Field(
        1024, ge=16, le=8192, description="Length of the vectors compared in training; the features themselves keep their length."
    )


HEAD_FIELDS: dict[str, Task] = {task.name.lower(): task for task in Task}
"""The task fields of a head, and the task of each."""

_IN_YAML = {field: to_camel(field) for field in HEAD_FIELDS}
_SELF_SUPERVISED = [field for field, task in HEAD_FIELDS.items() if task.self_supervised]

_EXACTLY_ONE = f"a head needs exactly one of these tasks: {', '.join(_IN_YAML.values())}"
_NEEDS_ANNOTATIONS = (
    f"a head needs annotations, the layer to learn from, unless it is {' or '.join(_IN_YAML[field] for field in _SELF_SUPERVISED)}"
)


def _given(fields: list[str]) -> list[str]:
    """CEL: which of the fields are set."""
    return [f"has(self.{_IN_YAML[field]})" for field in fields]


class Head(Model):
    """Solves one task. Exactly one of the task fields is set, like the source of a volume."""

    name: DnsLabel = Field(description="Unique within the model; names the head in metrics, logs and pictures.")
    annotations: str | None = Field(
        None,
        min_length=1,
        max_length=253,
        description="Layer of the dataset to learn from, converted if necessary. Optional for self-supervised heads: without it, "
        "they train on every image of the image folder that is not held out. With it, they add the layer's images to those of the "
        "other heads, and viewInvariance is scored with its labels if it has one per image.",
    )
    weight: float = Field(1.0, ge=0, le=1e6, description="Factor of this head's loss in the sum.")
    panoptic_segmentation: PanopticSegmentation | None = Field(None, description="A segment for every pixel.")
    instance_segmentation: InstanceSegmentation | None = Field(None, description="Masks with classes.")
    semantic_segmentation: SemanticSegmentation | None = Field(None, description="A class for every pixel.")
    keypoint_detection: KeypointDetection | None = Field(None, description="Named points of each object.")
    quadrilateral_detection: QuadrilateralDetection | None = Field(None, description="Four corners of each object.")
    object_detection: ObjectDetection | None = Field(None, description="Boxes with classes.")
    multilabel_classification: MultilabelClassification | None = Field(None, description="Any number of labels per image.")
    multiclass_classification: MulticlassClassification | None = Field(None, description="One label per image.")
    metric_learning: MetricLearning | None = Field(None, description="Vectors whose distances tell identities apart.")
    regression: Regression | None = Field(None, description="Numbers for the whole image.")
    depth_estimation: DepthEstimation | None = Field(None, description="A depth for every pixel.")
    anomaly_detection: AnomalyDetection | None = Field(None, description="Anomalies, learned from normal images.")
    text_recognition: TextRecognition | None = Field(None, description="The text of a one-line image.")
    autoencoding: Autoencoding | None = Field(None, description="Reconstruction of the image; self-supervised.")
    view_invariance: ViewInvariance | None = Field(None, description="What two views of an image share; self-supervised.")

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(f"[{', '.join(_given(list(HEAD_FIELDS)))}].filter(x, x).size() == 1", _EXACTLY_ONE),
        Rule(" || ".join(["has(self.annotations)", *_given(_SELF_SUPERVISED)]), _NEEDS_ANNOTATIONS),
    )

    @model_validator(mode="after")
    def _exactly_one_task(self) -> "Head":
        if sum(getattr(self, field) is not None for field in HEAD_FIELDS) != 1:
            raise ValueError(_EXACTLY_ONE)
        if self.annotations is None and not self.task.self_supervised:
            raise ValueError(_NEEDS_ANNOTATIONS)
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
