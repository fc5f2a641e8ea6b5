"""Inputs for any head of the registry: features, and random but valid targets of each task; seeded, and small."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from headrace_api import model
from headrace_api.tasks import Task
from headrace_trainer.heads import all as _all_heads  # noqa: F401 - fills the registry
from headrace_trainer.heads.base import IGNORE, REGISTRY, Head

WIDTH = 32
"""Channels of every level."""
OBJECTS = 6
"""Padded objects an image."""

OPTIONS: dict[Task, model.HeadOptions] = {
    Task.OBJECT_DETECTION: model.ObjectDetection(max_detections=20),
    Task.SEMANTIC_SEGMENTATION: model.SemanticSegmentation(),
    Task.MULTILABEL_CLASSIFICATION: model.MultilabelClassification(),
    Task.MULTICLASS_CLASSIFICATION: model.MulticlassClassification(),
}


def make_head(task: Task, classes: int = 3, levels: Sequence[int] = (3, 4, 5)) -> Head:
    """A head with defaults and seeded weights, over levels of WIDTH channels; in training mode."""
    torch.manual_seed(0)
    return REGISTRY[task](OPTIONS[task], dict.fromkeys(levels, WIDTH), [f"class {number}" for number in range(classes)])


def make_features(batch: int, size: tuple[int, int], levels: Sequence[int] = (3, 4, 5), seed: int = 0) -> dict[int, Tensor]:
    """Random maps for images of `size` (height, width)."""
    generator = torch.Generator().manual_seed(seed)
    sides = {level: [-(-side // 2**level) for side in size] for level in levels}
    return {level: torch.randn(batch, WIDTH, *sides[level], generator=generator).requires_grad_() for level in levels}


def make_targets(task: Task, batch: int, size: tuple[int, int], classes: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Random targets as `headrace_trainer.heads.base` describes them."""
    return _TARGETS[task](batch, size, classes, torch.Generator().manual_seed(seed))


def spoil(targets: Mapping[str, Tensor], unlabelled: Tensor) -> dict[str, Tensor]:
    """`targets` with nonsense in the rows of unlabelled images, which nobody may look at."""
    spoiled = {key: value.clone() for key, value in targets.items()}
    for value in spoiled.values():
        value[unlabelled] = float("nan") if value.is_floating_point() else True if value.dtype == torch.bool else 10**6
    return spoiled


def rows(tensors: Mapping[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    """The chosen images (bool [B]) of a batch."""
    return {key: value[chosen] for key, value in tensors.items()}


def _detection(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    limit = torch.tensor([size[1], size[0]]).repeat(2)
    corners = torch.rand(batch, OBJECTS, 2, 2, generator=generator).sort(dim=2).values.flatten(2)
    number = torch.arange(OBJECTS)
    return {
        "boxes": corners * limit,
        "classes": torch.randint(classes, (batch, OBJECTS), generator=generator),
        "valid": (number < OBJECTS - 1).expand(batch, -1).clone(),
        "crowd": (number == 0).expand(batch, -1).clone(),
    }


def _segmentation(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    return {"map": torch.randint(IGNORE, classes, (batch, *size), generator=generator)}


def _multilabel(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    return {"labels": torch.randint(2, (batch, classes), generator=generator).float()}


def _multiclass(batch: int, size: tuple[int, int], classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    return {"label": torch.randint(classes, (batch,), generator=generator)}


_TARGETS: dict[Task, Callable[[int, tuple[int, int], int, torch.Generator], dict[str, Tensor]]] = {
    Task.OBJECT_DETECTION: _detection,
    Task.SEMANTIC_SEGMENTATION: _segmentation,
    Task.MULTILABEL_CLASSIFICATION: _multilabel,
    Task.MULTICLASS_CLASSIFICATION: _multiclass,
}
