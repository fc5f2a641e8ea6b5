"""Rows on digit scenes: each task alone, five tasks at once, and few labels with and without a self-supervised head."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tasks.datasets import DigitScenes
from tasks.rows import Data, Row, Spec

SCENES = DigitScenes(
    layers=("objects", "instances", "keypoints", "quads", "regions", "panoptic", "depth", "count"), train=3000, val=400, size=64
)
CARDS = DigitScenes(layers=("digit", "identity", "angle"), train=6000, val=600, size=32)
IDENTITIES = DigitScenes(layers=("identity",), train=1200, val=240, size=32)
STRIPS = DigitScenes(layers=("text",), train=3000, val=400, size=96)
SHEETS = DigitScenes(layers=("oddity",), train=3000, val=400, size=64)
TEXTURES = DigitScenes(layers=("texture",), train=6000, val=600, size=32)
FEW_LABELS = DigitScenes(layers=("angle",), train=6000, val=600, size=32, labelled_share=0.05)

ITERATIONS = 500
SLOW_ITERATIONS = 1500
"""For tasks that learn little in ITERATIONS."""
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
    _alone("keypoint-detection", "keypointDetection", "keypoints", iterations=SLOW_ITERATIONS),
    _alone("quadrilateral-detection", "quadrilateralDetection", "quads"),
    _alone("multilabel-classification", "multilabelClassification", "objects", iterations=SLOW_ITERATIONS),
    _alone("multiclass-classification", "multiclassClassification", "digit", CARDS, **_OF_CARDS),
    _alone("metric-learning", "metricLearning", "identity", IDENTITIES, **_OF_CARDS | {"iterations": SLOW_ITERATIONS}),
    _alone("regression", "regression", "count"),
    _alone("text-recognition", "textRecognition", "text", STRIPS, iterations=700, height=32, width=96, **_GENTLE),
    _alone("anomaly-detection", "anomalyDetection", "oddity", SHEETS),
    _alone("autoencoding", "autoencoding", None, CARDS, **_OF_CARDS),
    _alone("view-invariance", "viewInvariance", "digit", CARDS, **_OF_CARDS),
)

VIEWS: tuple[Row, ...] = (Row("views/textures", TEXTURES, network([head("viewInvariance", "texture")]), training(**_OF_CARDS)),)
"""Next to digits/view-invariance: the same on cards, scored by their digits."""

JOINT_TASKS: Mapping[str, str] = {
    "boxes": "object-detection",
    "regions": "semantic-segmentation",
    "depth": "depth-estimation",
    "tags": "multilabel-classification",
    "count": "regression",
}
"""Head name in the joint run, and its task."""


def _joint_heads() -> list[dict[str, Any]]:
    alone = {row.name.removeprefix("digits/"): row for row in TASKS}
    return [{**alone[task].model["heads"][0], "name": name} for name, task in JOINT_TASKS.items()]


COST_ITERATIONS = 20
"""Runs this short, subtracted from those of ITERATIONS, give the cost of an iteration without start, evaluation and export."""


LOSS_WEIGHTS = ("fixed", "uncertainty", "regions-twice")
"""How the five losses are summed: all with weight 1, with learned weights, or with 2 for regions and 1 for the others."""


def name_of_joint(seed: int, loss_weights: str = "fixed") -> str:
    """The row with all five tasks at once."""
    return f"multitask/five-heads-{seed}" if loss_weights == "fixed" else f"multitask/five-heads-{loss_weights}-{seed}"


def _joint_network(loss_weights: str) -> Spec:
    if loss_weights == "regions-twice":
        return network([{**one, **({"weight": 2} if one["name"] == "regions" else {})} for one in _joint_heads()])
    return network(_joint_heads()) | ({"lossWeights": loss_weights} if loss_weights != "fixed" else {})


def name_of_alone(head: str, seed: int) -> str:
    """The row with the task of one of its heads alone."""
    return f"multitask/{head}-alone-{seed}"


def name_of_start(of: str) -> str:
    """The row with the first iterations of one of those runs, with the first seed: "five-heads" or a head."""
    return f"multitask/start-of-{of}"


def _multitask(name: str, model: Spec, iterations: int = ITERATIONS, **more: Any) -> Row:
    return Row(name, SCENES, model, training(iterations, **more), baseline=False)


def _rows_of_multitask() -> Iterator[Row]:
    alone = {one["name"]: [{**one, "name": "head"}] for one in _joint_heads()}
    for seed in SEEDS:
        for loss_weights in LOSS_WEIGHTS:
            yield _multitask(name_of_joint(seed, loss_weights), _joint_network(loss_weights), seed=seed)
        for name, heads in alone.items():
            yield _multitask(name_of_alone(name, seed), network(heads), seed=seed)
    for of, heads in {"five-heads": _joint_heads(), **alone}.items():
        yield _multitask(name_of_start(of), network(heads), COST_ITERATIONS, seed=SEEDS[0])


MULTITASK: tuple[Row, ...] = tuple(_rows_of_multitask())

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
"""Next to digits/object-detection, which has the feature pyramid."""

SEMI_ITERATIONS = 500
LONG_SEMI_ITERATIONS = 2000
"""In these, the few labels are seen four times as often."""

FEW_LABELS_BATCH = 32
LABELLED_SHARE = 1 / 4
"""The least share of each batch if other heads learn from the other images (`sampler: balanced`)."""

SECOND_HEADS: Mapping[str, list[dict[str, Any]]] = {
    "alone": [],
    "alone-small-batches": [],
    "with-views": [head("viewInvariance", None, "views")],
    "with-views-large-batches": [head("viewInvariance", None, "views")],
    "with-reconstruction": [head("autoencoding", None, "again")],
}
"""The heads next to the regression. Alone, it sees labels in every image of a batch."""
BATCH_FACTORS: Mapping[str, float] = {"alone-small-batches": LABELLED_SHARE, "with-views-large-batches": 1 / LABELLED_SHARE}
"""Batches of another size: with as few labels as a second head guarantees, or with as many as regression alone."""


class FewLabels(NamedTuple):
    """A line in the table."""

    kind: str
    """A key of SECOND_HEADS."""
    iterations: int


FEW_LABELS_RUNS = (
    *(FewLabels(kind, SEMI_ITERATIONS) for kind in SECOND_HEADS),
    *(FewLabels(kind, LONG_SEMI_ITERATIONS) for kind in ("alone", "with-views")),
)


def name_of_few_labels(run: FewLabels, seed: int) -> str:
    """The row for one seed of it."""
    return f"semi/{'long-' if run.iterations == LONG_SEMI_ITERATIONS else ''}angle-{run.kind}-{seed}"


def _few_labels(run: FewLabels, seed: int) -> Row:
    batch = int(FEW_LABELS_BATCH * BATCH_FACTORS.get(run.kind, 1))
    return Row(
        name_of_few_labels(run, seed),
        FEW_LABELS,
        network([head("regression", "angle", "angle"), *SECOND_HEADS[run.kind]]),
        training(**{**_OF_CARDS, "iterations": run.iterations, "batchSize": batch}, seed=seed),
        baseline=seed == 0 and run.iterations == SEMI_ITERATIONS,
    )


SEMI: tuple[Row, ...] = tuple(_few_labels(run, seed) for run in FEW_LABELS_RUNS for seed in SEEDS)
