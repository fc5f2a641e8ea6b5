"""COCO average precision of boxes, masks and keypoints, computed from arrays by faster-coco-eval.

https://cocodataset.org/#detection-eval, https://cocodataset.org/#keypoints-eval
"""

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
    """bool [n]: groups, which are neither found nor missed; predictions inside them are ignored."""
    masks: Sequence[RunLengths] | None = None
    """[n]; if given, masks are compared instead of boxes."""
    keypoints: np.ndarray | None = None
    """float [n, K, 3]: x, y and visibility, 0 for unlabelled keypoints; objects without a labelled keypoint are ignored."""
    areas: np.ndarray | None = None
    """float [n], square pixels: the scale at which keypoints are compared; required with keypoints."""


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
    """[n]; required if the truth has masks."""
    keypoints: np.ndarray | None = None
    """float [n, K, 3]: x, y and score, which is not used; required if the truth has keypoints."""


def run_lengths(masks: np.ndarray) -> list[RunLengths]:
    """bool [n, H, W] -> n compressed masks."""
    # Run lengths go column by column, hence Fortran order.
    encoded: list[RunLengths] = run_length.encode(np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8))
    return encoded


def coco_average_precision(truth: Sequence[Truth], found: Sequence[Found], classes: int) -> dict[str, float]:
    """{"AP", "AP50", "AP75"}, 0 to 1, of the objects `found` in images against their `truth` (same order).

    The mean over classes with at least one object that is not a crowd; at most 100 predictions per image. NaN if there is no such
    class.
    """
    if not any((~image.crowd).any() for image in truth):
        return dict.fromkeys(_NAMES, float("nan"))
    gt, dt = _tables(truth, found, classes)
    return _scores(COCOeval_faster(gt, dt, "segm" if any(image.masks for image in truth) else "bbox"))


def oks_average_precision(
    truth: Sequence[Truth], found: Sequence[Found], classes: int, sigmas: Sequence[float]
) -> dict[str, float]:
    """Like `coco_average_precision`, but by object keypoint similarity with the constants `sigmas` [K].

    At most 20 predictions per class and image count. Objects without a labelled keypoint are neither found nor missed, like crowds;
    NaN if there are no others.
    """
    if not any((~image.crowd & _labelled(image).any(axis=1)).any() for image in truth):
        return dict.fromkeys(_NAMES, float("nan"))
    gt, dt = _tables(truth, found, classes)
    return _scores(COCOeval_faster(gt, dt, "keypoints", kpt_oks_sigmas=list(sigmas)))


def _labelled(image: Truth) -> np.ndarray:
    """bool [n, K]."""
    assert image.keypoints is not None, "they are what is compared"
    return np.asarray(image.keypoints[..., 2] > 0)


def _tables(truth: Sequence[Truth], found: Sequence[Found], classes: int) -> tuple[COCO, COCO]:
    """The annotations and results in COCO's format."""
    gt = COCO(
        {
            "images": [{"id": image, **_size(both)} for image, both in enumerate(zip(truth, found, strict=True))],
            "categories": [{"id": label} for label in range(classes)],
            "annotations": _truth_annotations(truth),
        }
    )
    return gt, gt.loadRes(_found_annotations(found))


def _scores(evaluation: COCOeval_faster) -> dict[str, float]:
    evaluation.run()
    return {name: float(value) for name, value in zip(_NAMES, evaluation.stats, strict=False)}


def _size(image: tuple[Truth, Found]) -> dict[str, int]:
    """Height and width of an image, taken from its masks; without masks they are not needed."""
    sizes = [mask["size"] for objects in image for mask in objects.masks or ()]
    return {"height": sizes[0][0], "width": sizes[0][1]} if sizes else {}


def _truth_annotations(truth: Sequence[Truth]) -> list[dict[str, object]]:
    annotations: list[dict[str, object]] = []
    for image, objects in enumerate(truth):
        for shape, label, crowd in zip(_shapes(objects), objects.classes.tolist(), objects.crowd.tolist(), strict=True):
            # Ids start at 1: COCO's evaluation reads id 0 as "no match".
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
    """The objects' shapes as COCO annotates them."""
    if objects.masks is not None:
        return [{"segmentation": mask, "area": int(run_length.area(mask))} for mask in objects.masks]
    boxes = objects.boxes.astype(np.float64)
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
    shapes = [{"bbox": side, "area": side[2] * side[3]} for side in sides]
    return shapes if objects.keypoints is None else [{**a, **b} for a, b in zip(shapes, _keypoints(objects), strict=True)]


def _keypoints(objects: Truth | Found) -> list[dict[str, object]]:
    """The objects' keypoints as COCO annotates them; for the truth also their count and the object's area."""
    assert objects.keypoints is not None, "the caller asked"
    rows = [triples.ravel().tolist() for triples in objects.keypoints.astype(np.float64)]
    if isinstance(objects, Found):
        return [{"keypoints": row} for row in rows]
    assert objects.areas is not None, "given where keypoints are"
    counts = _labelled(objects).sum(axis=1).tolist()
    areas = objects.areas.astype(np.float64).tolist()
    return [{"keypoints": k, "num_keypoints": n, "area": area} for k, n, area in zip(rows, counts, areas, strict=True)]
