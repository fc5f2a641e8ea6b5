"""Describes what a job is about to train on: its dataset as the heads use it, and the machine."""

from collections import Counter
from itertools import chain
from typing import Final

import torch

from headrace_api.run import HeadRecord, LayerRecord
from headrace_trainer.data.dataset import Dataset
from headrace_trainer.data.head_labels.head_data import HeadData
from headrace_trainer.data.splits.split import Split
from headrace_trainer.protocol import Opened
from headrace_trainer.tasks import describe
from headrace_trainer.worker.device import machine

MOST_CLASSES: Final = 200
"""How many classes of a layer are counted by name: run.json is small, however many identities a dataset has."""


def describe_opened(dataset: Dataset, device: torch.device) -> Opened:
    """Opens no file: what is only in masks is not counted."""
    splits = (dataset.train, dataset.val)
    by_layer = {head.layer: head for head in reversed(dataset.heads) if head.layer is not None}
    return Opened(
        images={split.name: len(split) for split in splits},
        layers=[_layer(name, by_layer[name], splits) for name in sorted(by_layer)],
        heads=[HeadRecord(name=head.spec.name, task=head.spec.task) for head in dataset.heads],
        machine=machine(device),
    )


def _layer(name: str, head: HeadData, splits: tuple[Split, ...]) -> LayerRecord:
    """The layer that `head` is one of the heads of."""
    task = head.path[0]
    counts = {split.name: _classes_in(split, name) for split in splits}
    total = sum(counts.values(), Counter[int]())
    # Equally frequent classes in the order of the table, so that equal datasets give equal records.
    named = sorted(sorted(total, key=lambda index: (-total[index], index))[:MOST_CLASSES])
    names = head.layer_classes.names
    return LayerRecord(
        name=name,
        task=task,
        images={split.name: len(split.of(head)) for split in splits},
        objects={split.name: split.objects(head) for split in splits} if describe(task).counted is not None else {},
        classes={split: {names[index]: count[index] for index in named if count[index]} for split, count in counts.items()},
        class_count=len(names),
    )


def _classes_in(split: Split, layer: str) -> Counter[int]:
    return Counter(chain.from_iterable(annotation.class_indices() for annotation in split.annotations[layer].values()))
