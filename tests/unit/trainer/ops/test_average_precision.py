"""Compared with pycocotools, on boxes."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as run_length
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from headrace_trainer.ops.average_precision import Likeness, average_precision

CLASSES = 3


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """x, y, width, height; whole numbers, so that some predictions match two boxes equally well."""
    return np.concatenate([rng.integers(0, 60, (count, 2)), rng.integers(3, 30, (count, 2))], axis=1).astype(np.float64)


def random_image(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Objects, some of them crowds, and predictions: near objects, some in another class, and random ones; with equal scores."""
    count, extra = rng.integers(0, 12), rng.integers(0, 500)
    boxes, classes = random_boxes(rng, count), rng.integers(0, CLASSES, count)
    near = np.abs(boxes + rng.integers(-1, 2, boxes.shape))
    return {
        "boxes": boxes,
        "classes": classes,
        "crowd": rng.random(count) < 0.2,
        "answers": np.concatenate([near, random_boxes(rng, extra)]),
        "answer_classes": np.concatenate([classes, rng.integers(0, CLASSES, extra)]),
        "scores": np.concatenate([rng.uniform(0.3, 1, count), rng.uniform(0, 0.8, extra)]).round(2),
    }


def likeness(image: dict[str, np.ndarray], label: int) -> Likeness:
    there, given = image["classes"] == label, image["answer_classes"] == label
    crowd = image["crowd"][there]
    matrix = run_length.iou(image["answers"][given], image["boxes"][there], crowd.astype(np.uint8))
    return Likeness(image["scores"][given], np.reshape(matrix, (given.sum(), there.sum())), crowd)


def pycocotools_scores(images: list[dict[str, np.ndarray]]) -> list[float]:
    annotations = [
        {"image_id": i, "category_id": int(label), "bbox": box.tolist(), "area": float(box[2] * box[3]), "iscrowd": int(crowd)}
        for i, image in enumerate(images)
        for box, label, crowd in zip(image["boxes"], image["classes"], image["crowd"], strict=True)
    ]
    answers = [
        {"image_id": i, "category_id": int(label), "bbox": box.tolist(), "score": float(score)}
        for i, image in enumerate(images)
        for box, label, score in zip(image["answers"], image["answer_classes"], image["scores"], strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(images))],
            "categories": [{"id": label} for label in range(CLASSES)],
            "annotations": [{"id": number, **a} for number, a in enumerate(annotations, start=1)],
        }
        gt.createIndex()
        evaluation = COCOeval(gt, gt.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    scores: list[float] = evaluation.stats[:3].tolist()
    return scores


@pytest.mark.parametrize("seed", range(6))
def test_scores_equal_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [random_image(rng) for _ in range(12)]
    want = pycocotools_scores(images)
    assert 0.05 < want[0] < 0.95
    found = average_precision([[likeness(image, label) for image in images] for label in range(CLASSES)])
    assert list(found.values()) == pytest.approx(want, abs=1e-6)


def of(scores: list[float], matrix: list[list[float]], crowd: list[bool]) -> Likeness:
    return Likeness(np.array(scores), np.array(matrix, float).reshape(len(scores), len(crowd)), np.array(crowd, bool))


def test_nothing_found_scores_zero() -> None:
    assert average_precision([[of([], [], [False])]]) == {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}


def test_a_class_that_does_not_occur_has_no_effect() -> None:
    right = of([0.9], [[1.0]], [False])
    assert average_precision([[right], [of([0.5], [], [])]])["AP"] == pytest.approx(1)


def test_predictions_in_a_crowd_are_not_mistakes() -> None:
    assert average_precision([[of([0.9, 0.8, 0.7], [[0, 1], [0, 1], [1, 0]], [False, True])]])["AP"] == pytest.approx(1)
    assert average_precision([[of([0.9, 0.8, 0.7], [[0, 0], [0, 0], [1, 0]], [False, True])]])["AP"] == pytest.approx(
        1 / 3, abs=0.01
    )


@pytest.mark.parametrize("images", [[], [of([0.5], [[1.0]], [True])], [of([0.5], [], [])]], ids=["none", "crowd", "empty"])
def test_without_objects_there_is_no_score(images: list[Likeness]) -> None:
    assert all(np.isnan(score) for score in average_precision([images]).values())
