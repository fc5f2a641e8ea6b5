"""Batches: tensors of static shape, into which several threads at once write samples row by row."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from headrace_trainer.data.batches.rows import layout
from headrace_trainer.data.batches.sample import Sample
from headrace_trainer.data.head_labels.head_data import HeadData
from headrace_trainer.data.splits.split import Split
from headrace_trainer.tasks.description import Field, Shapes


@dataclass(frozen=True)
class Batch:
    """B images and the targets of each head, laid out as its task's description says."""

    images: Tensor
    """uint8 [B, 3, H, W], in channels_last memory order"""
    targets: Mapping[str, Mapping[str, Tensor]]
    """By head, then by name."""
    labelled: Mapping[str, Tensor]
    """bool [B] by head"""
    names: list[str]
    """Image paths from the dataset's root."""


def empty_batch(split: Split, size: int, canvas: tuple[int, int], pin_memory: bool = False) -> Batch:
    """A batch of `size` rows, all padding and unlabelled, for images of (height, width) `canvas`."""
    # The network uses channels_last, and so do decoders: no conversion copy is needed.
    images = torch.zeros((size, *canvas, 3), dtype=torch.uint8, pin_memory=pin_memory).permute(0, 3, 1, 2)
    targets = {
        head.spec.name: {
            name: torch.full((size, *field.shape), field.padding, dtype=getattr(torch, field.dtype), pin_memory=pin_memory)
            for name, field in _layout(split, head, canvas).items()
        }
        for head in split.heads
    }
    labelled = {head.spec.name: torch.zeros(size, dtype=torch.bool, pin_memory=pin_memory) for head in split.heads}
    return Batch(images, targets, labelled, [""] * size)


def _layout(split: Split, head: HeadData, canvas: tuple[int, int]) -> Mapping[str, Field]:
    name = head.spec.name
    return layout(head.spec.task, Shapes(head.labels, split.padding[name], canvas), split.beyond.get(name, 0))


def write_row(batch: Batch, row: int, sample: Sample) -> None:
    """Write `sample` into `batch`. Rows are independent: different threads may write different rows."""
    batch.names[row] = sample.name
    batch.images[row].permute(1, 2, 0).numpy()[:] = sample.image
    for head, rows in sample.targets.items():
        if rows is None:
            continue
        batch.labelled[head][row] = True
        for name, values in rows.items():
            tensor = batch.targets[head][name][row]
            if tensor.ndim:
                tensor.numpy()[: len(values)] = values
            else:
                tensor.fill_(values.item())
