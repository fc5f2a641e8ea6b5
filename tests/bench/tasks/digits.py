"""Rows on digit scenes: each task alone, five tasks at once, and few labels with and without a self-supervised head."""

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.datasets import DigitScenes
from tasks.rows import Data, Row

SCENES = DigitScenes(
    layers=("objects", "instances", "keypoints", "quads", "regions", "panoptic", "depth", "count"), train=3000, val=400, size=64
)
CARDS = DigitScenes(layers=("digit", "identity", "angle"), train=6000, val=600, size=32)
IDENTITIES = DigitScenes(layers=("identity",), train=1200, val=240, size=32)
STRIPS = DigitScenes(layers=("text",), train=3000, val=400, size=96)
SHEETS = DigitScenes(layers=("oddity",), train=3000, val=400, size=64)
FEW_LABELS = DigitScenes(layers=("angle",), train=6000, val=600, size=32, labelled_share=0.05)

ITERATIONS = 500
SEEDS = (0, 1, 2)


def network(heads: list[dict[str, Any]], bottom: int = 2, top: int = 4) -> dict[str, Any]:
    """ResNet-18 without its last stage, and a feature pyramid of 64 channels."""
    return {
        "backbone": {"name": "resnet18", "topLevel": top},
        "neck": {"fpn": {"channels": 64}, "bottomLevel": bottom, "topLevel": top},
        "heads": heads,
    }


def training(iterations: int = ITERATIONS, height: int = 64, width: int = 64, **more: Any) -> dict[str, Any]:
    """AdamW with a short warm-up; no mirroring, since a mirrored digit is another digit."""
    return {
        "maxIterations": iterations,
        "batchSize": 16,
        "imageSize": {"height": height, "width": width},
        "optimizer": {"adamw": {"learningRate": 0.002}},
        "schedule": {"warmupIterations": 20},
        "augmentation": {"horizontalFlip": False},
        "evaluateEvery": 100_000,
        "checkpointEvery": 100_000,
        **more,
    }


def head(field: str, layer: str | None, name: str = "head", **options: Any) -> dict[str, Any]:
    """An entry of spec.model.heads."""
    return {"name": name, **({"annotations": layer} if layer else {}), field: options}


def _alone(task: str, field: str, layer: str | None, data: Data = SCENES, **more: Any) -> Row:
    return Row(f"digits/{task}", data, network([head(field, layer)]), training(**more))


_OF_CARDS = {"iterations": 1000, "height": 32, "width": 32, "batchSize": 32}
"""A card shows one digit: it may be small, and there may be more of them."""

_GENTLE = {"optimizer": {"adamw": {"learningRate": 0.0007}}}
"""At 0.002 the loss of text stays at that of a guess among ten characters."""

TASKS: tuple[Row, ...] = (
    _alone("object-detection", "objectDetection", "objects"),
    _alone("instance-segmentation", "instanceSegmentation", "instances"),
    _alone("panoptic-segmentation", "panopticSegmentation", "panoptic"),
    _alone("semantic-segmentation", "semanticSegmentation", "regions"),
    _alone("depth-estimation", "depthEstimation", "depth"),
    _alone("keypoint-detection", "keypointDetection", "keypoints"),
    _alone("quadrilateral-detection", "quadrilateralDetection", "quads"),
    _alone("multilabel-classification", "multilabelClassification", "objects"),
    _alone("multiclass-classification", "multiclassClassification", "digit", CARDS, **_OF_CARDS),
    _alone("metric-learning", "metricLearning", "identity", IDENTITIES, **_OF_CARDS),
    _alone("regression", "regression", "count"),
    _alone("text-recognition", "textRecognition", "text", STRIPS, iterations=700, height=32, width=96, **_GENTLE),
    _alone("anomaly-detection", "anomalyDetection", "oddity", SHEETS),
    _alone("autoencoding", "autoencoding", None, CARDS, **_OF_CARDS),
    _alone("view-invariance", "viewInvariance", "digit", CARDS, **_OF_CARDS),
)

JOINT_TASKS: Mapping[str, str] = {
    "boxes": "object-detection",
    "regions": "semantic-segmentation",
    "depth": "depth-estimation",
    "tags": "multilabel-classification",
    "count": "regression",
}
"""Name of the head in the joint run, and the row of the same task alone: same images, network, iterations."""


def _joint_heads() -> list[dict[str, Any]]:
    alone = {row.name.removeprefix("digits/"): row for row in TASKS}
    return [{**alone[task].model["heads"][0], "name": name} for name, task in JOINT_TASKS.items()]


COST_ITERATIONS = 20
"""The runs that take so few tell, beside those of ITERATIONS, what an iteration costs without start, evaluation and export."""


def name_of_joint(seed: int) -> str:
    """The row of all five tasks at once."""
    return f"multitask/five-heads-{seed}" if seed else "multitask/five-heads"


def name_of_alone(head: str, seed: int) -> str:
    """The row of the task of one of its heads alone."""
    return f"multitask/{head}-alone-{seed}" if seed else f"digits/{JOINT_TASKS[head]}"


def _multitask(name: str, heads: list[dict[str, Any]], iterations: int = ITERATIONS, **more: Any) -> Row:
    return Row(name, SCENES, network(heads), training(iterations, **more), baseline=False)


def _start_of(name: str, heads: list[dict[str, Any]]) -> Row:
    return _multitask(f"multitask/start-of-{name}", heads, COST_ITERATIONS)


def _again(seed: int) -> Iterator[Row]:
    """What the first seed has in the rows above."""
    yield _multitask(name_of_joint(seed), _joint_heads(), seed=seed)
    for one in _joint_heads():
        yield _multitask(name_of_alone(one["name"], seed), [{**one, "name": "head"}], seed=seed)


MULTITASK: tuple[Row, ...] = (
    _multitask(name_of_joint(0), _joint_heads()),
    _start_of("five-heads", _joint_heads()),
    *(_start_of(one["name"], [{**one, "name": "head"}]) for one in _joint_heads()),
    *(row for seed in SEEDS if seed for row in _again(seed)),
)

NECKS: tuple[Row, ...] = tuple(
    Row(
        f"necks/{name}",
        SCENES,
        network([head("objectDetection", "objects")]) | {"neck": {field: {"channels": 64}, "bottomLevel": 2, "topLevel": 4}},
        training(),
        baseline=False,
    )
    for name, field in (("bi-fpn", "biFpn"), ("hybrid-encoder", "hybridEncoder"))
)
"""Beside digits/object-detection, which has the feature pyramid."""

SEMI_ITERATIONS = 500

SECOND_HEADS: Mapping[str, list[dict[str, Any]]] = {
    "alone": [],
    "with-views": [head("viewInvariance", None, "views")],
    "with-reconstruction": [head("autoencoding", None, "again")],
}
"""What stands beside the regression."""

SEMI: tuple[Row, ...] = tuple(
    Row(
        f"semi/angle-{kind}-{seed}",
        FEW_LABELS,
        network([head("regression", "angle", "angle"), *others]),
        training(**{**_OF_CARDS, "iterations": SEMI_ITERATIONS}, seed=seed),
        baseline=seed == 0,
    )
    for kind, others in SECOND_HEADS.items()
    for seed in SEEDS
)
