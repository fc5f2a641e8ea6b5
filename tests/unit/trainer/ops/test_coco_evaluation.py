"""Compared with pycocotools, which papers report."""

import contextlib
import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from headrace_trainer.ops.coco_evaluation import Found, Truth, coco_average_precision, run_lengths

CLASSES = 4
HEIGHT, WIDTH = 125, 130


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 80, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(2, 40, (count, 2))], axis=1).astype(np.float32)


def random_scene(rng: np.random.Generator) -> tuple[Truth, Found]:
    """Objects, some of them crowds, and predictions: objects moved a little, some in another class, and random boxes."""
    count = rng.integers(0, 12)
    truth = Truth(random_boxes(rng, count), rng.integers(0, CLASSES, count), rng.random(count) < 0.15)
    moved = truth.boxes + rng.normal(0, 1, truth.boxes.shape).astype(np.float32)
    answered = rng.random(count) < 0.8
    extra = rng.integers(0, 120)
    boxes = np.concatenate([moved[answered], random_boxes(rng, extra)])
    classes = np.concatenate([truth.classes[answered], rng.integers(0, CLASSES, extra)])
    scores = np.concatenate([rng.uniform(0.4, 1, answered.sum()), rng.uniform(0, 0.6, extra)])
    return truth, Found(boxes, classes, scores.astype(np.float32))


def pycocotools_scores(truth: list[Truth], found: list[Found]) -> list[float]:
    annotations = [
        {"id": number, "image_id": i, "category_id": int(image.classes[n]), **shape(image, n), "iscrowd": int(image.crowd[n])}
        for number, (i, image, n) in enumerate(
            ((i, image, n) for i, image in enumerate(truth) for n in range(len(image.classes))), 1
        )
    ]
    answers = [
        {"image_id": i, "category_id": int(image.classes[n]), **shape(image, n), "score": float(image.scores[n])}
        for i, image in enumerate(found)
        for n in range(len(image.classes))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {
            "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in range(len(truth))],
            "categories": [{"id": c} for c in range(CLASSES)],
            "annotations": annotations,
        }
        gt.createIndex()
        gt.dataset["info"] = {}
        evaluation = COCOeval(gt, gt.loadRes(answers), "bbox" if truth[0].masks is None else "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:3].tolist()


def shape(image: Truth | Found, number: int) -> dict[str, Any]:
    """The part of the annotation that says where an object is."""
    if image.masks is not None:
        return {"segmentation": image.masks[number], "area": float(coco_mask.area(image.masks[number]))}
    x0, y0, x1, y1 = image.boxes[number].astype(np.float64).tolist()
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}


def with_masks(rng: np.random.Generator, image: Truth | Found) -> Truth | Found:
    """The same objects as ragged ellipses in their boxes; a few of the predicted ones are empty."""
    masks = ellipses(image.boxes) & (rng.random((len(image.boxes), HEIGHT, WIDTH)) < 0.97)
    if isinstance(image, Found):
        masks[rng.random(len(masks)) < 0.05] = False
    return dataclasses.replace(image, masks=run_lengths(masks))


def ellipses(boxes: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    x0, y0, x1, y1 = (side[:, None, None] for side in boxes.T)
    return ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 <= 1


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, found = map(list, zip(*(random_scene(rng) for _ in range(12)), strict=True))
    assert any(image.crowd.any() for image in truth)
    want = pycocotools_scores(truth, found)
    assert 0.05 < want[0] < 0.95
    assert list(coco_average_precision(truth, found, CLASSES).values()) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_masks_equal_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, found = zip(*(random_scene(rng) for _ in range(12)), strict=True)
    truth, found = ([with_masks(rng, image) for image in images] for images in (truth, found))
    assert any(image.crowd.any() for image in truth)
    want = pycocotools_scores(truth, found)
    assert 0.05 < want[0] < 0.95
    assert list(coco_average_precision(truth, found, CLASSES).values()) == pytest.approx(want, abs=1e-6)


def test_run_lengths_equal_pycocotools() -> None:
    masks = np.random.default_rng(0).random((3, 7, 5)) < 0.5
    assert (coco_mask.decode(run_lengths(masks)).transpose(2, 0, 1) == masks).all()
    assert run_lengths(np.zeros((0, 7, 5), np.bool_)) == []


def test_masks_predicted_where_there_is_none_are_mistakes() -> None:
    square = run_lengths(np.ones((1, 5, 4), np.bool_))
    boxes, classes = np.zeros((1, 4), np.float32), np.zeros(1, np.int64)
    one, nothing = Truth(boxes, classes, np.zeros(1, np.bool_), square), Truth(boxes[:0], classes[:0], np.zeros(0, np.bool_), [])
    first, second = (Found(boxes, classes, np.asarray([score]), square) for score in (0.5, 0.9))
    assert coco_average_precision([nothing, one], [second, first], 1)["AP"] == pytest.approx(0.5)
    assert coco_average_precision([nothing, one], [first, second], 1)["AP"] == pytest.approx(1.0)


def test_nothing_found_scores_zero() -> None:
    truth = Truth(np.asarray([[0, 0, 10, 10]], np.float32), np.asarray([0]), np.asarray([False]))
    nothing = Found(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    assert coco_average_precision([truth], [nothing], 1) == {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}


def test_images_with_nothing_but_crowds_have_no_score() -> None:
    truth = Truth(np.asarray([[0, 0, 10, 10]], np.float32), np.asarray([0]), np.asarray([True]))
    found = Found(np.asarray([[0, 0, 10, 10]], np.float32), np.asarray([0]), np.asarray([0.5], np.float32))
    assert all(np.isnan(score) for score in coco_average_precision([truth], [found], 1).values())
    assert all(np.isnan(score) for score in coco_average_precision([], [], 1).values())
