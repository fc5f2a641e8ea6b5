"""Objects that training has no room for: nothing is learned from them, nor against them."""

import numpy as np
import pytest
import torch
from torch import Tensor

from headrace_api.tasks import Task
from headrace_testing.dense_answers import LEVELS, dense_answers
from headrace_testing.head_cases import KEYPOINTS, make_features, make_head, make_labels
from headrace_testing.host_sync import NoHostSync
from headrace_trainer.data.batches.rows import layout, rows_of
from headrace_trainer.data.targets import Boxes, Instances, Keypoints, Quads, Target
from headrace_trainer.data.targets.geometry import letterbox
from headrace_trainer.tasks.description import Shapes

SIZE = (96, 160)
MOST = 4
LABELLED = torch.tensor([True])
TASKS = [Task.OBJECT_DETECTION, Task.INSTANCE_SEGMENTATION, Task.KEYPOINT_DETECTION, Task.QUADRILATERAL_DETECTION]

SIDES = (20, 28, 19, 26, 27, 18, 25, 17)
BOXES = np.array(
    [(x, y, x + side, y + side) for side, x, y in zip(SIDES, [5, 45, 85, 125] * 2, [8] * 4 + [56] * 4, strict=True)], np.float32
)
CLASSES = np.arange(len(BOXES)) % 3
LARGEST = np.isin(SIDES, sorted(SIDES)[-MOST:])


def target_of(task: Task, boxes: np.ndarray, classes: np.ndarray, crowd: np.ndarray | None = None) -> Target:
    if crowd is None:
        crowd = np.zeros(len(boxes), np.bool_)
    match task:
        case Task.OBJECT_DETECTION:
            return Boxes(boxes, classes, crowd)
        case Task.INSTANCE_SEGMENTATION:
            masks = np.zeros((len(boxes), *SIZE), np.bool_)
            for mask, (left, top, right, bottom) in zip(masks, boxes.astype(int), strict=True):
                mask[top:bottom, left:right] = True
            return Instances(masks, classes, crowd)
        case Task.KEYPOINT_DETECTION:
            points = np.repeat(boxes[:, None, :2], len(KEYPOINTS), axis=1)
            areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
            return Keypoints(boxes, classes, crowd, points, np.full(points.shape[:2], 2), areas)
    return Quads(boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]], classes, crowd, boxes)


def targets_of(task: Task, target: Target, most: int = MOST, beyond: int = 8) -> dict[str, Tensor]:
    """A batch of one image."""
    shapes = Shapes(make_labels(), most, SIZE)
    rows = rows_of(task, target, shapes, letterbox(SIZE, SIZE))
    fields = layout(task, shapes, beyond)
    padded = {name: torch.full((1, *x.shape), x.padding, dtype=getattr(torch, x.dtype)) for name, x in fields.items()}
    for name, values in rows.items():
        padded[name][0, : len(values)] = torch.from_numpy(values)
    return padded


def answers(task: Task, boxes: np.ndarray, classes: np.ndarray) -> dict[str, Tensor]:
    """Outputs with the right boxes and classes, and nothing else right."""
    with torch.no_grad():
        outputs = {name: x.requires_grad_() for name, x in make_head(task)(make_features(1, SIZE)).items()}
    return {**outputs, **dense_answers(SIZE, torch.from_numpy(boxes), classes.tolist())}


def gradients_in(outputs: dict[str, Tensor], box: np.ndarray) -> float:
    """The largest gradient of the outputs of cells whose centre is in the box."""
    found = 0.0
    for level in LEVELS:
        left, top, right, bottom = (-(-(side - 2**level / 2) // 2**level) for side in box.astype(int).tolist())
        for name in ("logits", "distances"):
            grad = outputs[f"{name}{level}"].grad
            assert grad is not None
            inside = grad[..., int(top) : int(bottom), int(left) : int(right)]
            found = max(found, inside.abs().max().item() if inside.numel() else 0)
    return found


@pytest.mark.parametrize("task", TASKS)
def test_finding_objects_beyond_the_largest_is_not_punished(task: Task) -> None:
    head = make_head(task)
    outputs = answers(task, BOXES, CLASSES)
    targets = targets_of(task, target_of(task, BOXES, CLASSES))
    with NoHostSync():
        terms = head.loss(outputs, targets, LABELLED)
        sum(terms.values()).backward()
    assert [gradients_in(outputs, box) > 0 for box in BOXES] == LARGEST.tolist(), "nothing is exactly right, but nothing is wrong"
    alone = head.loss(
        answers(task, BOXES[LARGEST], CLASSES[LARGEST]),
        targets_of(task, target_of(task, BOXES[LARGEST], CLASSES[LARGEST])),
        LABELLED,
    )
    for name, term in terms.items():
        assert term.item() == pytest.approx(alone[name].item(), rel=0.02, abs=1e-4), name


@pytest.mark.parametrize("task", TASKS)
def test_objects_beyond_the_largest_are_not_learned(task: Task) -> None:
    """Nor do they affect a network that predicts none of them."""
    outputs = answers(task, BOXES[LARGEST], CLASSES[LARGEST])
    sum(make_head(task).loss(outputs, targets_of(task, target_of(task, BOXES, CLASSES)), LABELLED).values()).backward()
    assert [gradients_in(outputs, box) > 0 for box in BOXES] == LARGEST.tolist()


@pytest.mark.parametrize("crowd", [False, True], ids=["beyond", "crowd"])
def test_an_object_smaller_than_a_cell_is_ignored_at_the_cells_responsible_for_it(crowd: bool) -> None:
    """It contains no cell's centre; the cells that contain its own centre are responsible for it."""
    boxes = np.array([[120, 40, 150, 70], [65, 65, 68, 68]], np.float32)
    target = target_of(Task.OBJECT_DETECTION, boxes, np.array([0, 1]), np.array([False, crowd]))
    targets = targets_of(Task.OBJECT_DETECTION, target, most=2 if crowd else 1)
    outputs = answers(Task.OBJECT_DETECTION, boxes, np.array([0, 1]))
    make_head(Task.OBJECT_DETECTION).loss(outputs, targets, LABELLED)["classification"].backward()
    for level in LEVELS:
        grad = outputs[f"logits{level}"].grad
        assert grad is not None
        cell = 66 >> level
        assert not grad[0, :, cell, cell].any()
        assert grad[0, :, cell, cell - 1].all(), "its neighbour sees background"


def test_objects_beyond_in_unlabelled_images_are_never_read() -> None:
    targets = targets_of(Task.OBJECT_DETECTION, target_of(Task.OBJECT_DETECTION, BOXES, CLASSES))
    two = {name: torch.cat([value, value]) for name, value in targets.items()}
    two["beyond"][1] = torch.nan
    head, features = make_head(Task.OBJECT_DETECTION), make_features(2, SIZE)
    loss = sum(head.loss(head(features), two, torch.tensor([True, False])).values())
    assert torch.isfinite(loss)
