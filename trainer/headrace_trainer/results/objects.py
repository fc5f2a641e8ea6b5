"""Objects, in COCO's result format (https://cocodataset.org/#format-results).

results.json    a list: image_id, category_id, score, and the location: bbox [x, y, width, height]; segmentation, run lengths in
                COCO's compression; keypoints [x, y, score, …]; quad [x, y, …], corners clockwise from where reading begins, with
                bbox around them
images.json     the images and categories that the ids refer to: COCO("images.json").loadRes("results.json")

category_id counts classes from 1. Coordinates are pixels of the upright image, with the origin at the outer corner of the first
pixel, or at its centre for COCO keypoints.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.coco_evaluation import run_lengths
from headrace_trainer.ops.quad_overlap import bounds
from headrace_trainer.results.base import Image, JsonArray, Predictions, Results, write_json
from headrace_trainer.results.placement import Placement

_Rows = dict[str, Tensor]
"""Predictions for the kept objects, by name, each [n, ...]."""
Shape = Callable[[_Rows, int, Placement], dict[str, Any]]
"""Describes the location of one object."""


class ObjectResults(Results):
    """For heads that predict "valid", "scores", "classes" and a location that `shape` describes."""

    def __init__(self, folder: Path, labels: LabelSpace, least_score: float, shape: Shape) -> None:
        super().__init__(folder, labels, least_score)
        self._shape = shape
        self._results = JsonArray(folder / "results.json")
        self._images: list[dict[str, Any]] = []

    def add(self, image: Image, predictions: Predictions, placement: Placement) -> None:
        self._images.append(image.to_coco())
        kept = predictions["valid"] & (predictions["scores"] >= self.least_score)
        rows = {name: values[kept] for name, values in predictions.items()}
        labels, scores = rows["classes"].tolist(), rows["scores"].tolist()
        for index, (label, score) in enumerate(zip(labels, scores, strict=True)):
            shape = self._shape(rows, index, placement)
            self._results.add({"image_id": image.id, "category_id": label + 1, **shape, "score": round(score, 5)})

    def close(self) -> None:
        self._results.close()
        categories = [{"id": label + 1, "name": name, **self._keypoints()} for label, name in enumerate(self.labels.classes)]
        write_json(self.folder / "images.json", {"images": self._images, "categories": categories})

    def _keypoints(self) -> dict[str, Any]:
        labels = self.labels
        if not labels.keypoints:
            return {}
        return {"keypoints": list(labels.keypoints), "skeleton": [[a + 1, b + 1] for a, b in labels.skeleton]}


def box(rows: _Rows, index: int, placement: Placement) -> dict[str, Any]:
    """ "bbox"."""
    left, top, right, bottom = placement.boxes(rows["boxes"][index]).double().tolist()
    return {"bbox": _rounded([left, top, right - left, bottom - top])}


def box_and_mask(rows: _Rows, index: int, placement: Placement) -> dict[str, Any]:
    """ "bbox" and "segmentation". One mask at a time: for a large photograph, the masks of all objects may not fit in memory."""
    mask = placement.masks(rows["masks"][index])
    (encoded,) = run_lengths(mask[None].numpy())
    return {**box(rows, index, placement), "segmentation": {"size": list(placement.size), "counts": encoded["counts"].decode()}}


def box_and_keypoints(rows: _Rows, index: int, placement: Placement) -> dict[str, Any]:
    """ "bbox" and "keypoints". Keypoints are pixel indices, as in COCO: the centre of the first pixel is 0, not 0.5."""
    points = (placement.points(rows["keypoints"][index]) - 0.5).tolist()
    scores = rows["keypoint_scores"][index].tolist()
    numbers = [number for (x, y), score in zip(points, scores, strict=True) for number in (x, y, score)]
    return {**box(rows, index, placement), "keypoints": _rounded(numbers)}


def box_and_quad(rows: _Rows, index: int, placement: Placement) -> dict[str, Any]:
    """ "bbox", which COCO's tools expect, and "quad"."""
    corners = rows["quads"][index]
    around = box({"boxes": bounds(corners)[None]}, 0, placement)
    return {**around, "quad": _rounded(placement.points(corners).flatten().tolist())}


def _rounded(numbers: list[float]) -> list[float]:
    return [round(number, 3) for number in numbers]
