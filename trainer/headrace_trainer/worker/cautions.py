"""What is said before training because it is seldom meant. Nothing of this ends a job."""

from collections.abc import Callable

from headrace_api.training import Training
from headrace_trainer.data.checks import check_lengths
from headrace_trainer.data.dataset import Dataset
from headrace_trainer.heads.text_recognition import COLUMN, DEFAULT_LEVEL
from headrace_trainer.network.build import Network
from headrace_trainer.protocol import Plan
from headrace_trainer.worker.schedule import learning_rate_factor

Say = Callable[[str], None]
"""Takes a line of the log."""


def of_dataset(dataset: Dataset, training: Training, say: Say) -> None:
    """Of what the settings mean for the images and labels that there are."""
    _endless_warmup(training, say)
    _long_texts(dataset, training, say)
    _mirrored_keypoints(dataset, training, say)


def of_network(network: Network, plan: Plan, say: Say) -> None:
    """What is frozen stays as it begins: with random weights that is seldom meant."""
    if (levels := network.backbone.frozen_levels) and plan.initial_weights is None:
        say(f"WARNING: backbone.frozenLevels = {levels} without initialWeights: these levels stay random")


def _endless_warmup(training: Training, say: Say) -> None:
    """The default warm-up is longer than a short trial: such a network has hardly learnt, and nothing else would tell why."""
    warmup, last = training.schedule.warmup_iterations, training.max_iterations
    if warmup >= last:
        share = learning_rate_factor(training.schedule, last, last)
        say(
            f"WARNING: training.schedule.warmupIterations = {warmup} is not below maxIterations = {last}: the learning rate rises "
            f"until the end, to {share:.0%} of its peak"
        )


def _long_texts(dataset: Dataset, training: Training, say: Say) -> None:
    """Their loss is 0, which looks like a head that has learnt all there is."""
    width = training.image_size.width
    for head in dataset.heads:
        if (options := head.spec.text_recognition) is not None:
            stride = 2 ** (DEFAULT_LEVEL if options.level is None else options.level)
            check_lengths(head, dataset.train, width // min(COLUMN, stride), width, say)


def _mirrored_keypoints(dataset: Dataset, training: Training, say: Say) -> None:
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
