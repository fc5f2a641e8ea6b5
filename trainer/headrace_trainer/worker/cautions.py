"""Warnings about settings that are legal but usually a mistake. None of them ends a job."""

from collections.abc import Callable, Iterable
from typing import Final, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from headrace_api.training import Training
from headrace_trainer.counted import counted
from headrace_trainer.data.annotations import TextLabel
from headrace_trainer.data.dataset import Dataset
from headrace_trainer.heads.text_recognition import TextRecognitionHead
from headrace_trainer.network.build import Network
from headrace_trainer.ops.ctc import columns_needed
from headrace_trainer.worker.schedule import learning_rate_factor

Say = Callable[[str], None]
"""Takes a line of the log."""

_SHOWN: Final = 40
"""Characters of a text in a message."""


def endless_warmup(training: Training, say: Say) -> None:
    """Warn if the warm-up never ends: in a short trial with the default, the network hardly learns, with no other sign of why."""
    warmup, last = training.schedule.warmup_iterations, training.max_iterations
    if warmup >= last:
        share = learning_rate_factor(training.schedule, last, last)
        say(
            f"WARNING: training.schedule.warmupIterations = {warmup} is not below maxIterations = {last}: the learning rate rises "
            f"until the end, to {share:.0%} of its peak"
        )


def mirrored_keypoints(dataset: Dataset, training: Training, say: Say) -> None:
    """Warn about mirroring keypoints that do not say left or right, often YOLO's: learning both as one makes either worse."""
    if not dataset.augmentation(training.augmentation).horizontal_flip:
        return
    for head in dataset.heads:
        mirrored = head.labels.mirrored
        if len(mirrored) > 1 and mirrored == tuple(range(len(mirrored))):
            say(
                f"WARNING: head '{head.spec.name}': each of its {len(mirrored)} keypoints keeps its index in a mirrored image, "
                "which is only right if none is the left or right one of a pair: set the layer's `mirrored`, or "
                "augmentation.horizontalFlip: false"
            )


def long_texts(dataset: Dataset, network: Network, width: int, say: Say) -> None:
    """Warn about texts too long for the columns of images `width` pixels wide: their loss is 0, as if the head had learnt them."""
    for head in dataset.heads:
        if head.spec.text_recognition is None:
            continue
        texts = [label.text for label in dataset.train.of(head).values() if isinstance(label, TextLabel)]
        columns = cast(TextRecognitionHead, network.heads[head.spec.name]).columns(width)
        too_long = [(text, needed) for text, needed in zip(texts, _columns_of(texts), strict=True) if needed > columns]
        if too_long:
            text, needed = too_long[0]
            shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
            say(
                f"WARNING: head '{head.spec.name}' learns nothing from {len(too_long)} of {counted(len(texts), 'texts')} in the "
                f"train split, which are too long: '{shown}' needs {needed} columns, but images {width} pixels wide have "
                f"{columns}; raise imageSize.width"
            )


def _columns_of(texts: Iterable[str]) -> list[int]:
    characters: list[Tensor] = [torch.tensor([*map(ord, text)], dtype=torch.int64) for text in texts]
    return columns_needed(pad_sequence(characters, batch_first=True, padding_value=-1)).tolist() if characters else []


def frozen_noise(network: Network, say: Say) -> None:
    """Warn about frozen levels that start from random weights and so stay random."""
    if levels := network.backbone.frozen_levels:
        say(f"WARNING: backbone.frozenLevels = {levels} without initialWeights: these levels stay random")
