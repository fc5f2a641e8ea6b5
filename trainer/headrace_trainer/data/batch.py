"""Batches: tensors of static shapes that samples are written into row by row, by several threads at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headrace_api.tasks import Task
from headrace_trainer.data.dataset import HeadData, Split
from headrace_trainer.data.sample import Sample
from headrace_trainer.data.targets import IGNORE, Array, Boxes, Target


@dataclass(frozen=True)
class Batch:
    """B images and the targets of each head, as in heads/base.py."""

    images: Tensor
    """uint8 [B, 3, H, W], in channels_last memory order"""
    targets: Mapping[str, Mapping[str, Tensor]]
    """By head, then by name."""
    labelled: Mapping[str, Tensor]
    """bool [B] by head"""
    names: list[str]
    """Images' paths from the dataset's root."""


def empty_batch(split: Split, size: int, canvas: tuple[int, int], pin_memory: bool = False) -> Batch:
    """A batch of `size` rows, all of them padding and unlabelled, for images of (height, width) `canvas`."""
    # The network works in channels_last, which is also how decoders write: no copy turns one into the other.
    images = torch.zeros((size, *canvas, 3), dtype=torch.uint8, pin_memory=pin_memory).permute(0, 3, 1, 2)
    targets = {
        head.spec.name: {
            name: torch.full(shape, value, dtype=dtype, pin_memory=pin_memory)
            for name, (shape, value, dtype) in _layout(head, split, size, canvas).items()
        }
        for head in split.heads
    }
    labelled = {head.spec.name: torch.zeros(size, dtype=torch.bool, pin_memory=pin_memory) for head in split.heads}
    return Batch(images, targets, labelled, [""] * size)


def write_row(batch: Batch, row: int, sample: Sample) -> None:
    """Put `sample` into `batch`. Rows are independent of each other: each may be written by a thread of its own."""
    batch.names[row] = sample.name
    batch.images[row].permute(1, 2, 0).numpy()[:] = sample.image
    for head, target in sample.targets.items():
        if target is None:
            continue
        batch.labelled[head][row] = True
        for name, values in _rows(target, batch.targets[head]).items():
            tensor = batch.targets[head][name][row]
            if tensor.ndim:
                tensor.numpy()[: len(values)] = values
            else:
                tensor.fill_(values.item())


_Layout = dict[str, tuple[tuple[int, ...], float, torch.dtype]]


def _layout(head: HeadData, split: Split, size: int, canvas: tuple[int, int]) -> _Layout:
    """Shape, padding and type of each of a head's target tensors."""
    boxes = (size, split.max_boxes[head.layer])
    layouts: dict[Task, _Layout] = {
        Task.OBJECT_DETECTION: {
            "boxes": ((*boxes, 4), 0, torch.float32),
            "classes": (boxes, 0, torch.int64),
            "valid": (boxes, False, torch.bool),
            "crowd": (boxes, False, torch.bool),
        },
        Task.SEMANTIC_SEGMENTATION: {"map": ((size, *canvas), IGNORE, torch.int64)},
        Task.MULTILABEL_CLASSIFICATION: {"labels": ((size, len(head.classes)), 0, torch.float32)},
        Task.MULTICLASS_CLASSIFICATION: {"label": ((size,), 0, torch.int64)},
    }
    return layouts[head.spec.task]


def _rows(target: Target, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """What goes to the start of the row of each tensor."""
    if isinstance(target, Boxes):
        kept = _largest(target.boxes, tensors["valid"].shape[1])
        return {
            "boxes": target.boxes[kept],
            "classes": target.classes[kept],
            "valid": np.ones(len(kept), np.bool_),
            "crowd": target.crowd[kept],
        }
    return {name: np.asarray(values) for name, values in vars(target).items()}


def _largest(boxes: Array, most: int) -> Array:
    """Indices of the `most` largest boxes, in the order they have."""
    if len(boxes) <= most:
        return np.arange(len(boxes))
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.sort(np.argsort(-area, kind="stable")[:most])
