"""Trivial baselines, to put the numbers in the tables into perspective.

`python -m tasks.baselines JOB.yaml DATASET RESULT.json` writes, for every head of a job, what its baseline is and how it scores on
the held-out images, by the metric that scores the trained head. A baseline may see all labels of the train split but no held-out
image; for the self-supervised tasks, each baseline says what it sees instead.

B images, N objects, M predicted objects, K keypoints, C classes.
"""

import json
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from headrace_api.tasks import Task
from headrace_api.training import Training
from headrace_cli.manifest import read_job
from headrace_trainer.data.batches.loader import eval_batches
from headrace_trainer.data.dataset import open_dataset
from headrace_trainer.data.splits.split import Split
from headrace_trainer.data.targets import IGNORE
from headrace_trainer.heads.base import Head, Targets
from headrace_trainer.network.build import HeadPlan, Network, build_network
from headrace_trainer.ops.pixels import normalise
from headrace_trainer.results.base import Predictions


class Baseline(ABC):
    """A baseline for one head: sees the train labels once, then answers."""

    what: ClassVar[str]
    uses_network: ClassVar[bool] = False
    """Whether `answer` gets the predictions of the network with random weights."""

    def __init__(self, head: Head) -> None:
        self.head = head

    def learn(self, images: Tensor, targets: Targets, labelled: Tensor) -> None:  # noqa: B027 - some have nothing to learn
        """See a batch of the train split, with images as in `answer`."""

    @abstractmethod
    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        """For images float32 [B, 3, H, W], normalised; `found` is empty unless `uses_network`."""


class _Grid(Baseline):
    """Boxes of the classes' mean sizes, in rows and columns over the image; more frequent classes score higher."""

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        self.counts = torch.zeros(len(head.classes), dtype=torch.float64)
        self.sizes = torch.zeros(len(head.classes), 2, dtype=torch.float64)

    def boxes_of(self, targets: Targets) -> Tensor:
        """float32 [B, N, 4]"""
        return targets["boxes"]

    def learn(self, images: Tensor, targets: Targets, labelled: Tensor) -> None:
        learnt = targets["valid"] & ~targets["crowd"] & labelled[:, None]
        boxes, classes = self.boxes_of(targets)[learnt].double(), targets["classes"][learnt]
        self.counts.index_add_(0, classes, torch.ones_like(classes, dtype=torch.float64))
        self.sizes.index_add_(0, classes, boxes[:, 2:] - boxes[:, :2])

    def grid(self, images: Tensor) -> dict[str, Tensor]:
        """Predictions "boxes", "scores", "classes", "valid"."""
        most = int(getattr(self.head, "max_detections", 100))
        seen = int((self.counts > 0).sum())
        side = max(2, math.isqrt(most // max(1, seen)))
        classes = self.counts.argsort(descending=True, stable=True)[: min(seen, most // side**2)]
        sizes = (self.sizes[classes] / self.counts[classes, None]).float()
        place = (torch.arange(side) + 0.5) / side
        places = torch.stack(torch.meshgrid(place, place, indexing="xy"), dim=-1).view(1, -1, 2)
        centers = places * torch.tensor([images.shape[3], images.shape[2]])
        boxes = torch.cat([centers - sizes[:, None] / 2, centers + sizes[:, None] / 2], dim=-1)  # [classes, places, 4]
        scores = (self.counts[classes] / self.counts.sum()).float()[:, None].expand(boxes.shape[:2])
        labels = classes[:, None].expand(boxes.shape[:2])
        batch = len(images)
        return {
            "boxes": boxes.flatten(0, 1).expand(batch, -1, -1),
            "scores": scores.flatten().expand(batch, -1),
            "classes": labels.flatten().expand(batch, -1),
            "valid": torch.ones(batch, labels.numel(), dtype=torch.bool),
        }


class BoxGrid(_Grid):
    what = "a grid of boxes of each class's mean size; more frequent classes score higher"

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        return self.grid(images)


class MaskGrid(_Grid):
    what = "a grid of ellipses of each class's mean size; more frequent classes score higher"

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        grid = self.grid(images)
        y, x = torch.meshgrid(*(torch.arange(side) + 0.5 for side in images.shape[2:]), indexing="ij")
        low, high = grid["boxes"][0, :, :2], grid["boxes"][0, :, 2:]
        center, radius = ((low + high) / 2)[:, None, None], ((high - low) / 2)[:, None, None]
        masks = ((torch.stack([x, y], dim=-1) - center) / radius).square().sum(dim=-1) <= 1
        return {**grid, "masks": masks.expand(len(images), -1, -1, -1)}


class KeypointGrid(_Grid):
    what = "a grid of boxes of the mean size, with keypoints at their average place in a box"

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        keypoints = len(head.labels.keypoints)
        self.places, self.seen = torch.zeros(keypoints, 2, dtype=torch.float64), torch.zeros(keypoints, dtype=torch.float64)

    def learn(self, images: Tensor, targets: Targets, labelled: Tensor) -> None:
        super().learn(images, targets, labelled)
        low, high = targets["boxes"][..., None, :2], targets["boxes"][..., None, 2:]
        known = (targets["visibility"] > 0) & (targets["valid"] & ~targets["crowd"] & labelled[:, None])[..., None]
        share = torch.where(known[..., None], (targets["keypoints"] - low) / (high - low).clamp(min=1), 0)
        self.places += share.double().sum(dim=(0, 1))
        self.seen += known.double().sum(dim=(0, 1))

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        grid = self.grid(images)
        share = (self.places / self.seen[:, None].clamp(min=1)).float()
        low, high = grid["boxes"][..., None, :2], grid["boxes"][..., None, 2:]
        keypoints = low + share * (high - low)
        return {**grid, "keypoints": keypoints, "keypoint_scores": torch.ones(keypoints.shape[:3])}


class QuadGrid(_Grid):
    what = "a grid of upright rectangles of each class's mean size; more frequent classes score higher"

    def boxes_of(self, targets: Targets) -> Tensor:
        return torch.cat([targets["quads"].amin(dim=2), targets["quads"].amax(dim=2)], dim=-1)

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        grid = self.grid(images)
        quads = grid["boxes"][..., [0, 1, 2, 1, 2, 3, 0, 3]].unflatten(-1, (4, 2))
        return {"quads": quads, **{key: grid[key] for key in ("scores", "classes", "valid")}}


class _Pixels(Baseline):
    """Counts the pixels of each class."""

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        self.counts = torch.zeros(len(head.classes), dtype=torch.int64)

    def count(self, classes: Tensor) -> None:
        """The class of each pixel."""
        self.counts += torch.bincount(classes, minlength=len(self.counts))

    def shape(self, images: Tensor) -> tuple[int, int, int]:
        """[B, H, W]"""
        return (len(images), images.shape[2], images.shape[3])


class OneClass(_Pixels):
    what = "the most common class, everywhere"

    def learn(self, images: Tensor, targets: Targets, labelled: Tensor) -> None:
        there = targets["map"][labelled]
        self.count(there[there != IGNORE])

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        return {"map": torch.full(self.shape(images), int(self.counts.argmax()))}


class OneSegment(_Pixels):
    what = "one segment of the most common class, everywhere"

    def learn(self, images: Tensor, targets: Targets, labelled: Tensor) -> None:
        segments = targets["segments"][labelled].flatten(1)
        classes = targets["classes"][labelled].gather(1, segments.clamp(min=0))
        self.count(classes[segments != IGNORE])

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        one = (len(images), 1)
        return {
            "segments": torch.zeros(self.shape(images), dtype=torch.int64),
            "classes": torch.full(one, int(self.counts.argmax())),
            "scores": torch.ones(one),
            "valid": torch.ones(one, dtype=torch.bool),
        }


class MeanDepth(Baseline):
    what = "the mean depth, everywhere"

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        self.sum, self.count = 0.0, 0

    def learn(self, images: Tensor, targets: Targets, labelled: Tensor) -> None:
        known = targets["known"] & labelled[:, None, None]
        self.sum += float(targets["depth"][known].double().sum())
        self.count += int(known.sum())

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        return {"depth": torch.full((len(images), *images.shape[2:]), self.sum / self.count)}


class Frequencies(Baseline):
    what = "the frequency of each label, for every image"

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        self.counts, self.images = torch.zeros(len(head.classes)), 0

    def learn(self, images: Tensor, targets: Targets, labelled: Tensor) -> None:
        self.counts += targets["labels"][labelled].sum(dim=0)
        self.images += int(labelled.sum())

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        return {"scores": (self.counts / self.images).expand(len(images), -1)}


class MajorityClass(Baseline):
    what = "the frequency of each class, for every image"

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        self.counts = torch.zeros(len(head.classes))

    def learn(self, images: Tensor, targets: Targets, labelled: Tensor) -> None:
        self.counts += torch.bincount(targets["label"][labelled], minlength=len(self.counts))

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        return {"probabilities": (self.counts / self.counts.sum()).expand(len(images), -1)}


class RandomVectors(Baseline):
    what = "a random ranking"

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        return {"embeddings": torch.randn(len(images), 128)}


class MeanValues(Baseline):
    what = "the mean of the train images, for every image"

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        return {"values": torch.tensor(self.head.labels.means).expand(len(images), -1)}


class OneText(Baseline):
    what = "the most frequent character, repeated to the mean text length"

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        self.counts, self.texts = torch.zeros(len(head.labels.alphabet)), 0

    def learn(self, images: Tensor, targets: Targets, labelled: Tensor) -> None:
        text = targets["text"][labelled]
        self.counts += torch.bincount(text[text >= 0], minlength=len(self.counts))
        self.texts += len(text)

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        length = round(float(self.counts.sum()) / self.texts)
        return {"text": torch.full((len(images), length), int(self.counts.argmax())), "scores": torch.ones(len(images))}


class DistanceFromMeanImage(Baseline):
    what = "distance of each pixel from the mean train image; for an image, its farthest pixel"

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        self.sum, self.images = torch.zeros(()), 0

    def learn(self, images: Tensor, targets: Targets, labelled: Tensor) -> None:
        self.sum = self.sum + images.double().sum(dim=0)
        self.images += len(images)

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        distance = (images - (self.sum / self.images).float()).square().mean(dim=1)
        anomaly = distance / (1 + distance)
        return {"map": anomaly, "scores": anomaly.flatten(1).amax(dim=1)}


class OwnMeanColor(Baseline):
    what = "each image's own mean colour, everywhere"

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        pixels = self.head.decode({"image": images}, (images.shape[2], images.shape[3]))["image"]
        return {"image": pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels)}


class Untrained(Baseline):
    what = "the same network with random weights"
    uses_network = True

    def answer(self, images: Tensor, found: Predictions) -> Predictions:
        return found


BASELINES: Mapping[Task, type[Baseline]] = {
    Task.PANOPTIC_SEGMENTATION: OneSegment,
    Task.INSTANCE_SEGMENTATION: MaskGrid,
    Task.SEMANTIC_SEGMENTATION: OneClass,
    Task.KEYPOINT_DETECTION: KeypointGrid,
    Task.QUADRILATERAL_DETECTION: QuadGrid,
    Task.OBJECT_DETECTION: BoxGrid,
    Task.MULTILABEL_CLASSIFICATION: Frequencies,
    Task.MULTICLASS_CLASSIFICATION: MajorityClass,
    Task.METRIC_LEARNING: RandomVectors,
    Task.REGRESSION: MeanValues,
    Task.DEPTH_ESTIMATION: MeanDepth,
    Task.ANOMALY_DETECTION: DistanceFromMeanImage,
    Task.TEXT_RECOGNITION: OneText,
    Task.AUTOENCODING: OwnMeanColor,
    Task.VIEW_INVARIANCE: Untrained,
}


@torch.no_grad()
def score_baselines(job_file: Path, folder: Path) -> dict[str, Any]:
    """By head: "what", and "scores" by metric."""
    spec = read_job(job_file).spec
    dataset = open_dataset(folder, spec.model, spec.dataset.max_bad_images, lambda _: None)
    torch.manual_seed(spec.training.seed)
    network = build_network(spec.model, [HeadPlan(head.spec, head.labels) for head in dataset.heads]).eval()
    baselines = {name: BASELINES[head.task](head) for name, head in network.heads.items() if isinstance(head, Head)}
    _learn(baselines, dataset.train, spec.training)
    return _scores(baselines, network, dataset.val, spec.training)


def _learn(baselines: Mapping[str, Baseline], split: Split, training: Training) -> None:
    with closing(eval_batches(split, training, 1)) as batches:
        for batch in batches:
            images = normalise(batch.images)
            for name, baseline in baselines.items():
                baseline.learn(images, batch.targets[name], batch.labelled[name])


def _scores(baselines: Mapping[str, Baseline], network: Network, split: Split, training: Training) -> dict[str, Any]:
    metrics = {name: baseline.head.metric() for name, baseline in baselines.items()}
    with closing(eval_batches(split, training, 1)) as batches:
        for batch in batches:
            images = normalise(batch.images)
            size = (images.shape[2], images.shape[3])
            outputs = network(images, [name for name, baseline in baselines.items() if baseline.uses_network])
            for name, baseline in baselines.items():
                found = baseline.head.decode(outputs[name], size) if name in outputs else {}
                targets = {**batch.targets[name], "image": images}
                metrics[name].update(baseline.answer(images, found), targets, batch.labelled[name])
    rounded = {name: {key: round(value, 5) for key, value in metric.compute().items()} for name, metric in metrics.items()}
    return {name: {"what": baselines[name].what, "scores": rounded[name]} for name in baselines}


if __name__ == "__main__":
    job, dataset_folder, result = map(Path, sys.argv[1:])
    result.write_text(json.dumps(score_baselines(job, dataset_folder)))
