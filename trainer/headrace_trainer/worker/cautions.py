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
    """The default warm-up is longer than a short trial: such a network has hardly learnt, and nothing else would tell why."""
    warmup, last = training.schedule.warmup_iterations, training.max_iterations
    if warmup >= last:
        share = learning_rate_factor(training.schedule, last, last)
        say(
            f"WARNING: training.schedule.warmupIterations = {warmup} is not below maxIterations = {last}: the learning rate rises "
            f"until the end, to {share:.0%} of its peak"
        )


def mirrored_keypoints(dataset: Dataset, training: Training, say: Say) -> None:
    """Keypoints without names, as YOLO's often are, tell nothing of left and right; to be taught both as one spoils either."""
    if not dataset.augmentation(training.augmentation).horizontal_flip:
        return
    for head in dataset.heads:
        mirrored = head.labels.mirrored
        if len(mirrored) > 1 and mirrored == tuple(range(len(mirrored))):
            say(
                f"WARNING: head '{head.spec.name}': each of its {len(mirrored)} keypoints stays what it is in a mirrored image, "
                "which is right only if none is the left or the right one of a pair: give the layer `mirrored`, or set "
                "augmentation.horizontalFlip: false"
            )


def long_texts(dataset: Dataset, network: Network, width: int, say: Say) -> None:
    """Those that cannot be read off the columns of images `width` pixels wide: their loss is 0, which looks like a head that has
    learnt all there is."""
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
                f"WARNING: head '{head.spec.name}' learns nothing of {len(too_long)} of {counted(len(texts), 'texts')} to train "
                f"on, which are too long: '{shown}' needs {needed} columns, and images of {width} pixels have {columns}; raise "
                "imageSize.width"
            )


def _columns_of(texts: Iterable[str]) -> list[int]:
    characters: list[Tensor] = [torch.tensor([*map(ord, text)], dtype=torch.int64) for text in texts]
    return columns_needed(pad_sequence(characters, batch_first=True, padding_value=-1)).tolist() if characters else []


def frozen_noise(network: Network, say: Say) -> None:
    """Warns of frozen levels that start from random weights, and so stay random."""
    if levels := network.backbone.frozen_levels:
        say(f"WARNING: backbone.frozenLevels = {levels} without initialWeights: these levels stay random")
