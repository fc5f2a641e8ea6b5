"""Inputs for any registered head: features, and random but valid targets for each task; seeded and small.

If you write a head, its targets are in `_TARGETS`, what their numbers mean is in `make_labels`, and `OPTIONS` has the options
with which the contract's tests build it.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from headrace_api.heads import (
    AnomalyDetection,
    Autoencoding,
    DepthEstimation,
    HeadOptions,
    InstanceSegmentation,
    KeypointDetection,
    MetricLearning,
    MulticlassClassification,
    MultilabelClassification,
    ObjectDetection,
    PanopticSegmentation,
    QuadrilateralDetection,
    Regression,
    SemanticSegmentation,
    TextRecognition,
    ViewInvariance,
)
from headrace_api.tasks import Task
from headrace_trainer.data.targets import IGNORE
from headrace_trainer.heads import all as _all_heads  # noqa: F401 - fills the registry
from headrace_trainer.heads.base import REGISTRY, Head, Outputs
from headrace_trainer.label_space import LabelSpace

WIDTH = 32
"""Channels at every level."""
OBJECTS = 6
"""Objects per image, padded; the first is a crowd, the last is padding."""
KEYPOINTS = ("left ear", "right ear", "nose", "tail")
VALUES = ("angle", "count")
ALPHABET = "abcde"
CHARACTERS = 5
"""Characters per image, padded."""

OPTIONS: dict[Task, HeadOptions] = {
    Task.PANOPTIC_SEGMENTATION: PanopticSegmentation(max_detections=20),
    Task.INSTANCE_SEGMENTATION: InstanceSegmentation(max_detections=20),
    Task.SEMANTIC_SEGMENTATION: SemanticSegmentation(),
    Task.KEYPOINT_DETECTION: KeypointDetection(max_detections=10),
    Task.QUADRILATERAL_DETECTION: QuadrilateralDetection(max_detections=20),
    Task.OBJECT_DETECTION: ObjectDetection(max_detections=20),
    Task.MULTILABEL_CLASSIFICATION: MultilabelClassification(),
    Task.MULTICLASS_CLASSIFICATION: MulticlassClassification(),
    Task.METRIC_LEARNING: MetricLearning(dimensions=16),
    Task.REGRESSION: Regression(),
    Task.DEPTH_ESTIMATION: DepthEstimation(),
    Task.ANOMALY_DETECTION: AnomalyDetection(),
    Task.TEXT_RECOGNITION: TextRecognition(),
    Task.AUTOENCODING: Autoencoding(),
    Task.VIEW_INVARIANCE: ViewInvariance(),
}


def make_labels(classes: int = 3) -> LabelSpace:
    """What the numbers in the targets mean, for any task; even classes are things."""
    return LabelSpace(
        classes=tuple(f"class {number}" for number in range(classes)),
        things=tuple(number % 2 == 0 for number in range(classes)),
        keypoints=KEYPOINTS,
        mirrored=(1, 0, 2, 3),
        skeleton=((0, 2), (1, 2), (2, 3)),
        sigmas=(0.05,) * len(KEYPOINTS),
        values=VALUES,
        means=(10.0, 3.0),
        deviations=(5.0, 1.5),
        alphabet=ALPHABET,
    )


def make_head(task: Task, classes: int = 3, levels: Sequence[int] = (3, 4, 5)) -> Head:
    """A head with the options in `OPTIONS` and seeded weights, over levels of WIDTH channels; in training mode."""
    torch.manual_seed(0)
    return REGISTRY[task](OPTIONS[task], dict.fromkeys(levels, WIDTH), make_labels(classes))


def make_features(batch: int, size: tuple[int, int], levels: Sequence[int] = (3, 4, 5), seed: int = 0) -> dict[int, Tensor]:
    """Random maps for images of `size` (height, width)."""
    generator = torch.Generator().manual_seed(seed)
    sides = {level: [-(-side // 2**level) for side in size] for level in levels}
    return {level: torch.randn(batch, WIDTH, *sides[level], generator=generator).requires_grad_() for level in levels}


def answer(head: Head, features: Mapping[int, Tensor]) -> Outputs:
    """The head's outputs; in training, also those for a second view ("<key>@2") if it wants one, as the training step gives them.

    The second view's features are a function of the first one's, image by image, so gradients reach the same leaves.
    """
    outputs = dict(head(features))
    if (head.uses_views or head.uses_defects) and head.training:
        second = head({level: x + 0.3 * (5 * x).sin() for level, x in features.items()})
        outputs |= {f"{key}@2": value for key, value in second.items()}
    return outputs


def make_targets(task: Task, batch: int, size: tuple[int, int], classes: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Random targets as the task describes them; every task also gets "image" and "defects", which
    heads may ignore."""
    generator = torch.Generator().manual_seed(seed)
    targets = _TARGETS[task](batch, size, classes, generator)
    image, defects = torch.randn(batch, 3, *size, generator=generator), torch.rand(batch, *size, generator=generator) < 0.1
    return targets | {"image": image, "defects": defects}


def spoil(targets: Mapping[str, Tensor], unlabelled: Tensor) -> dict[str, Tensor]:
    """`targets` with nonsense in the rows of unlabelled images, which no head may read."""
    spoiled = {key: value.clone() for key, value in targets.items()}
    for value in spoiled.values():
        value[unlabelled] = float("nan") if value.is_floating_point() else True if value.dtype == torch.bool else 10**6
    return spoiled


def rows(tensors: Mapping[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    """The chosen images (bool [B]) in a batch."""
    return {key: value[chosen] for key, value in tensors.items()}


def _objects(batch: int, classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    number = torch.arange(OBJECTS)
    return {
        "classes": torch.randint(classes, (batch, OBJECTS), generator=generator),
        "valid": (number < OBJECTS - 1).expand(batch, -1).clone(),
        "crowd": (number == 0).expand(batch, -1).clone(),
    }


def _detection(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    limit = torch.tensor([size[1], size[0]]).repeat(2)
    corners = torch.rand(batch, OBJECTS, 2, 2, generator=generator).sort(dim=2).values.flatten(2)
    return {"boxes": corners * limit, **_objects(batch, classes, generator)}


def _instances(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Masks are ellipses, at least a pixel large, and boxes are tight."""
    targets = _detection(batch, size, classes, generator)
    low, high = targets["boxes"][..., :2], targets["boxes"][..., 2:]
    center, radius = (low + high) / 2, ((high - low) / 2).clamp(min=1)
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    offset = (torch.stack([x, y], dim=-1) - center[:, :, None, None]) / radius[:, :, None, None]
    masks = (offset.square().sum(dim=-1) <= 1) & targets["valid"][:, :, None, None]
    return {**targets, "masks": masks, "boxes": tight_boxes(masks)}


def tight_boxes(masks: Tensor) -> Tensor:
    """bool [..., H, W] -> float32 [..., 4], half-open; zeros for an empty mask."""
    sides = []
    for there in (masks.any(dim=-2), masks.any(dim=-1)):
        first = there.int().argmax(dim=-1)
        last = there.shape[-1] - there.flip(-1).int().argmax(dim=-1)
        sides.append((first, torch.where(there.any(dim=-1), last, 0)))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], dim=-1).float()


def _panoptic(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Ellipses over a background that is the first segment; a strip at the left belongs to no segment."""
    masks = _instances(batch, size, classes, generator)["masks"]
    segments = torch.zeros(batch, *size, dtype=torch.int64)
    for number in range(1, OBJECTS - 1):
        segments[masks[:, number]] = number
    segments[:, :, : size[1] // 8] = IGNORE
    objects = _objects(batch, classes, generator)
    shown = torch.stack([(segments == number).flatten(1).any(dim=1) for number in range(OBJECTS)], dim=1)
    crowd = (torch.arange(OBJECTS) == 1).expand(batch, -1).clone()
    return {**objects, "segments": segments, "valid": shown, "crowd": crowd & shown}


def _segmentation(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    return {"map": torch.randint(IGNORE, classes, (batch, *size), generator=generator)}


def _keypoints(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Keypoints are inside their boxes; the second object in each image has no labelled keypoint."""
    targets = _detection(batch, size, classes, generator)
    low, high = targets["boxes"][..., None, :2], targets["boxes"][..., None, 2:]
    shape = (batch, OBJECTS, len(KEYPOINTS))
    visibility = torch.randint(3, shape, generator=generator)
    visibility[:, 1] = 0
    visibility[:, 2] = 2
    points = low + torch.rand(*shape, 2, generator=generator) * (high - low)
    return {
        **targets,
        "keypoints": torch.where(visibility[..., None] > 0, points, 0),
        "visibility": visibility * targets["valid"][..., None],
        "area": 0.6 * (high - low).prod(dim=-1)[..., 0],
    }


def _quads(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Rotated rectangles, not clipped to the image."""
    shape = (batch, OBJECTS)
    center = torch.rand(*shape, 2, generator=generator) * torch.tensor([size[1], size[0]])
    half = (torch.rand(*shape, 2, generator=generator) * 0.4 + 0.1) * min(size) / 2
    angle = (torch.rand(*shape, generator=generator) - 0.5) * torch.pi
    corners = half[:, :, None] * torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    cos, sin = angle.cos()[..., None], angle.sin()[..., None]
    turned = torch.stack([corners[..., 0] * cos - corners[..., 1] * sin, corners[..., 0] * sin + corners[..., 1] * cos], dim=-1)
    return {"quads": center[:, :, None] + turned, **_objects(batch, classes, generator)}


def _multilabel(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    return {"labels": torch.randint(2, (batch, classes), generator=generator).float()}


def _multiclass(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    return {"label": torch.randint(classes, (batch,), generator=generator)}


def _identity(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    """All have one identity while there are few images, so that each has another to be found by."""
    return {"label": torch.arange(batch) // 4 % classes}


def _values(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    shape = (batch, len(VALUES))
    labels = make_labels()
    values = torch.randn(shape, generator=generator) * torch.tensor(labels.deviations) + torch.tensor(labels.means)
    known = torch.ones(shape, dtype=torch.bool)
    known[0, 0] = False
    return {"values": torch.where(known, values, 0), "known": known}


def _depth(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    known = torch.rand(batch, *size, generator=generator) < 0.8
    return {"depth": torch.where(known, 1 + 9 * torch.rand(batch, *size, generator=generator), 0), "known": known}


def _anomaly(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Every second image is anomalous; in every fourth the pixels are unknown."""
    number = torch.arange(batch)
    anomalous, has_mask = number % 2 == 1, number % 4 != 3
    mask = torch.zeros(batch, *size, dtype=torch.bool)
    mask[anomalous & has_mask, : size[0] // 2, : size[1] // 2] = True
    return {"anomalous": anomalous, "mask": mask, "has_mask": has_mask, "shown": _shown(batch, size)}


def _shown(batch: int, size: tuple[int, int]) -> Tensor:
    """Everything but a strip at the right."""
    shown = torch.ones(batch, *size, dtype=torch.bool)
    shown[:, :, -(size[1] // 4) :] = False
    return shown


def _text(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    text = torch.randint(len(ALPHABET), (batch, CHARACTERS), generator=generator)
    length = torch.randint(1, CHARACTERS, (batch, 1), generator=generator)
    return {"text": torch.where(torch.arange(CHARACTERS) < length, text, -1)}


def _image_only(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Half of the images have a label to score by."""
    return {"label": torch.where(torch.arange(batch) % 4 < 2, torch.arange(batch) % classes, -1)}


def _shown_image(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    return {**_image_only(batch, size, classes, generator), "shown": _shown(batch, size)}


_TARGETS: dict[Task, Callable[[int, tuple[int, int], int, torch.Generator], dict[str, Tensor]]] = {
    Task.PANOPTIC_SEGMENTATION: _panoptic,
    Task.INSTANCE_SEGMENTATION: _instances,
    Task.SEMANTIC_SEGMENTATION: _segmentation,
    Task.KEYPOINT_DETECTION: _keypoints,
    Task.QUADRILATERAL_DETECTION: _quads,
    Task.OBJECT_DETECTION: _detection,
    Task.MULTILABEL_CLASSIFICATION: _multilabel,
    Task.MULTICLASS_CLASSIFICATION: _multiclass,
    Task.METRIC_LEARNING: _identity,
    Task.REGRESSION: _values,
    Task.DEPTH_ESTIMATION: _depth,
    Task.ANOMALY_DETECTION: _anomaly,
    Task.TEXT_RECOGNITION: _text,
    Task.AUTOENCODING: _shown_image,
    Task.VIEW_INVARIANCE: _image_only,
}
