"""COCO average precision of boxes (https://cocodataset.org/#detection-eval) by faster-coco-eval, from arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

_NAMES = ("AP", "AP50", "AP75")
"""In the order of COCO's summary."""


@dataclass(frozen=True)
class Truth:
    """The annotated objects of one image."""

    boxes: np.ndarray
    """float [n, 4], x0, y0, x1, y1."""
    classes: np.ndarray
    """int [n]."""
    crowd: np.ndarray
    """bool [n]: groups, which are neither found nor missed, and swallow any number of boxes that lie in them."""


@dataclass(frozen=True)
class Found:
    """The predicted objects of one image."""

    boxes: np.ndarray
    """float [n, 4], x0, y0, x1, y1."""
    classes: np.ndarray
    """int [n]."""
    scores: np.ndarray
    """float [n]."""


def coco_average_precision(truth: Sequence[Truth], found: Sequence[Found], classes: int) -> dict[str, float]:
    """{"AP", "AP50", "AP75"}, 0 to 1, over the images' `truth` and what was `found` in them (same order).

    The mean over classes that have an object other than crowds, at most 100 boxes an image; NaN where no class has.
    """
    if not any((~image.crowd).any() for image in truth):
        return dict.fromkeys(_NAMES, float("nan"))
    gt = COCO(
        {
            "images": [{"id": image} for image in range(len(truth))],
            "categories": [{"id": label} for label in range(classes)],
            "annotations": _truth_annotations(truth),
        }
    )
    dt = gt.loadRes(_found_annotations(found))
    evaluation = COCOeval_faster(gt, dt, "bbox")
    evaluation.run()
    return {name: float(value) for name, value in zip(_NAMES, evaluation.stats, strict=False)}


def _truth_annotations(truth: Sequence[Truth]) -> list[dict[str, object]]:
    annotations: list[dict[str, object]] = []
    for image, objects in enumerate(truth):
        for box, label, crowd in zip(_xywh(objects.boxes), objects.classes.tolist(), objects.crowd.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,  # from 1: COCO's evaluation takes id 0 for "no match"
                    "image_id": image,
                    "category_id": label,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(crowd),
                }
            )
    return annotations


def _found_annotations(found: Sequence[Found]) -> list[dict[str, object]]:
    return [
        {"image_id": image, "category_id": label, "bbox": box, "score": score}
        for image, objects in enumerate(found)
        for box, label, score in zip(_xywh(objects.boxes), objects.classes.tolist(), objects.scores.tolist(), strict=True)
    ]


def _xywh(boxes: np.ndarray) -> list[list[float]]:
    boxes = boxes.astype(np.float64)
    sizes: list[list[float]] = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
    return sizes
