"""Against pycocotools, which is what papers report."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from headrace_trainer.ops.coco import Found, Truth, coco_average_precision

CLASSES = 4


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 80, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(2, 40, (count, 2))], axis=1).astype(np.float32)


def random_scene(rng: np.random.Generator) -> tuple[Truth, Found]:
    """Objects, some of them crowds, and answers: objects moved a little, some under another class, and boxes from nowhere."""
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
    def xywh(box: np.ndarray) -> list[float]:
        x0, y0, x1, y1 = box.astype(np.float64).tolist()
        return [x0, y0, x1 - x0, y1 - y0]

    annotations = [
        {"image_id": i, "category_id": int(c), "bbox": (b := xywh(box)), "area": b[2] * b[3], "iscrowd": int(crowd)}
        for i, image in enumerate(truth)
        for box, c, crowd in zip(image.boxes, image.classes, image.crowd, strict=True)
    ]
    answers = [
        {"image_id": i, "category_id": int(c), "bbox": xywh(box), "score": float(score)}
        for i, image in enumerate(found)
        for box, c, score in zip(image.boxes, image.classes, image.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {
            "images": [{"id": i} for i in range(len(truth))],
            "categories": [{"id": c} for c in range(CLASSES)],
            "annotations": [{"id": number, **a} for number, a in enumerate(annotations, start=1)],
        }
        gt.createIndex()
        gt.dataset["info"] = {}
        evaluation = COCOeval(gt, gt.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:3].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, found = map(list, zip(*(random_scene(rng) for _ in range(12)), strict=True))
    assert any(image.crowd.any() for image in truth)
    want = pycocotools_scores(truth, found)
    assert 0.05 < want[0] < 0.95
    assert list(coco_average_precision(truth, found, CLASSES).values()) == pytest.approx(want, abs=1e-6)


def test_nothing_found_scores_zero() -> None:
    truth = Truth(np.asarray([[0, 0, 10, 10]], np.float32), np.asarray([0]), np.asarray([False]))
    nothing = Found(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))
    assert coco_average_precision([truth], [nothing], 1) == {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}


def test_images_with_nothing_but_crowds_have_no_score() -> None:
    truth = Truth(np.asarray([[0, 0, 10, 10]], np.float32), np.asarray([0]), np.asarray([True]))
    found = Found(np.asarray([[0, 0, 10, 10]], np.float32), np.asarray([0]), np.asarray([0.5], np.float32))
    assert all(np.isnan(score) for score in coco_average_precision([truth], [found], 1).values())
    assert all(np.isnan(score) for score in coco_average_precision([], [], 1).values())
