"""COCO average precision of boxes and masks (https://cocodataset.org/#detection-eval) by faster-coco-eval, from arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as run_length

_NAMES = ("AP", "AP50", "AP75")
"""In the order of COCO's summary."""

RunLengths = dict[str, Any]
"""A mask as COCO compresses it: {"size": [height, width], "counts": bytes}."""


@dataclass(frozen=True)
class Truth:
    """The annotated objects of one image."""

    boxes: np.ndarray
    """float [n, 4], x0, y0, x1, y1."""
    classes: np.ndarray
    """int [n]."""
    crowd: np.ndarray
    """bool [n]: groups, which are neither found nor missed, and swallow any number of answers that lie in them."""
    masks: Sequence[RunLengths] | None = None
    """[n]; where they are given, masks are compared instead of boxes."""


@dataclass(frozen=True)
class Found:
    """The predicted objects of one image."""

    boxes: np.ndarray
    """float [n, 4], x0, y0, x1, y1."""
    classes: np.ndarray
    """int [n]."""
    scores: np.ndarray
    """float [n]."""
    masks: Sequence[RunLengths] | None = None
    """[n]; given where the truth's are."""


def run_lengths(masks: np.ndarray) -> list[RunLengths]:
    """bool [n, H, W] -> n masks in a small part of the memory."""
    # Column by column is how they are run through, hence Fortran's order.
    encoded: list[RunLengths] = run_length.encode(np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8))
    return encoded


def coco_average_precision(truth: Sequence[Truth], found: Sequence[Found], classes: int) -> dict[str, float]:
    """{"AP", "AP50", "AP75"}, 0 to 1, over the images' `truth` and what was `found` in them (same order).

    The mean over classes that have an object other than crowds, at most 100 answers an image; NaN where no class has.
    """
    if not any((~image.crowd).any() for image in truth):
        return dict.fromkeys(_NAMES, float("nan"))
    of_masks = any(image.masks for image in truth)
    gt = COCO(
        {
            "images": [{"id": image, **_size(both)} for image, both in enumerate(zip(truth, found, strict=True))],
            "categories": [{"id": label} for label in range(classes)],
            "annotations": _truth_annotations(truth),
        }
    )
    dt = gt.loadRes(_found_annotations(found))
    evaluation = COCOeval_faster(gt, dt, "segm" if of_masks else "bbox")
    evaluation.run()
    return {name: float(value) for name, value in zip(_NAMES, evaluation.stats, strict=False)}


def _size(image: tuple[Truth, Found]) -> dict[str, int]:
    """Height and width of an image, where masks tell them; where none is, nothing asks for them."""
    sizes = [mask["size"] for objects in image for mask in objects.masks or ()]
    return {"height": sizes[0][0], "width": sizes[0][1]} if sizes else {}


def _truth_annotations(truth: Sequence[Truth]) -> list[dict[str, object]]:
    annotations: list[dict[str, object]] = []
    for image, objects in enumerate(truth):
        for shape, label, crowd in zip(_shapes(objects), objects.classes.tolist(), objects.crowd.tolist(), strict=True):
            # Ids from 1: COCO's evaluation takes id 0 for "no match".
            number = len(annotations) + 1
            annotations.append({"id": number, "image_id": image, "category_id": label, **shape, "iscrowd": int(crowd)})
    return annotations


def _found_annotations(found: Sequence[Found]) -> list[dict[str, object]]:
    return [
        {"image_id": image, "category_id": label, **shape, "score": score}
        for image, objects in enumerate(found)
        for shape, label, score in zip(_shapes(objects), objects.classes.tolist(), objects.scores.tolist(), strict=True)
    ]


def _shapes(objects: Truth | Found) -> list[dict[str, object]]:
    """What COCO's annotations say of the objects' shapes."""
    if objects.masks is not None:
        return [{"segmentation": mask, "area": int(run_length.area(mask))} for mask in objects.masks]
    boxes = objects.boxes.astype(np.float64)
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
    return [{"bbox": side, "area": side[2] * side[3]} for side in sides]
