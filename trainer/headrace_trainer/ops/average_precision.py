"""COCO's average precision (https://cocodataset.org/#detection-eval) for any similarity measure, computed as in pycocotools.

D predictions and G objects of one class in one image; T thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_ANSWERS = 100
"""Predictions that count per class and image: those with the highest scores."""
_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_NAMES = ("AP", "AP50", "AP75")


@dataclass(frozen=True)
class Likeness:
    """How similar the predictions and the objects of one class in one image are."""

    scores: np.ndarray
    """float [D]."""
    matrix: np.ndarray
    """float [D, G], 0 to 1; in a crowd's column, the share of the prediction that is inside the crowd."""
    crowd: np.ndarray
    """bool [G]: crowds are neither found nor missed, and may contain any number of predictions."""


def average_precision(by_class: Sequence[Sequence[Likeness]]) -> dict[str, float]:
    """Images by class -> {"AP", "AP50", "AP75"}, 0 to 1.

    The mean over classes with at least one object that is not a crowd; NaN if there is no such class.
    """
    precisions = [_precisions(images) for images in by_class if any((~image.crowd).any() for image in images)]
    if not precisions:
        return dict.fromkeys(_NAMES, float("nan"))
    by_threshold = np.mean(precisions, axis=0)
    return dict(zip(_NAMES, map(float, (by_threshold.mean(), by_threshold[0], by_threshold[5])), strict=True))


def _precisions(images: Sequence[Likeness]) -> np.ndarray:
    """Mean precision over the recalls for one class, by threshold [T]."""
    ranked = [_surest(image) for image in images]
    order = np.argsort(-np.concatenate([image.scores for image in ranked]), kind="stable")
    right, counted = (np.concatenate(parts, axis=1)[:, order] for parts in zip(*map(_matches, ranked), strict=True))
    objects = sum(int((~image.crowd).sum()) for image in images)
    hits, misses = (np.cumsum(what & counted, axis=1) for what in (right, ~right))
    recall, precision = hits / objects, hits / np.maximum(hits + misses, 1)
    # The best precision at this recall or higher.
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.concatenate([precision, np.zeros((len(precision), 1))], axis=1)
    return np.array([of[np.searchsorted(reached, _RECALLS)].mean() for of, reached in zip(padded, recall, strict=True)])


def _surest(image: Likeness) -> Likeness:
    best = np.argsort(-image.scores, kind="stable")[:MOST_ANSWERS]
    return Likeness(image.scores[best], image.matrix[best], image.crowd)


def _matches(image: Likeness) -> tuple[np.ndarray, np.ndarray]:
    """Which predictions, in order, are right, and which count at all (those inside crowds do not): bool [T, D] each.

    A prediction takes the most similar object that no higher-scoring one has taken; the last of equals, as in pycocotools.
    """
    thresholds = len(_THRESHOLDS)
    everywhere = np.arange(thresholds)
    objects = image.matrix[:, ~image.crowd][:, ::-1]
    in_crowd = image.matrix[:, image.crowd].max(axis=1, initial=0)
    right = np.zeros((thresholds, len(image.scores)), bool)
    free = np.ones((thresholds, objects.shape[1]), bool)
    for answer, like in enumerate(objects if objects.size else ()):
        open_to_it = np.where(free, like, -1)
        best = open_to_it.argmax(axis=1)
        right[:, answer] = open_to_it[everywhere, best] >= _THRESHOLDS
        free[everywhere, best] &= ~right[:, answer]
    return right, right | ~(in_crowd >= _THRESHOLDS[:, None])
