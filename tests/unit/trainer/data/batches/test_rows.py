"""Targets as rows of padded tensors."""

from collections.abc import Mapping

import numpy as np
import pytest

from headrace_api.tasks import Task
from headrace_testing.head_cases import make_labels, make_targets
from headrace_trainer.data.batches.rows import layout, rows_of
from headrace_trainer.data.targets import (
    IGNORE,
    Anomaly,
    Array,
    Boxes,
    ClassMap,
    Depth,
    Identity,
    ImageOnly,
    Instances,
    Keypoints,
    Label,
    Labels,
    Panoptic,
    Quads,
    Target,
    Text,
    Values,
)
from headrace_trainer.data.targets.geometry import letterbox
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.tasks.description import Shapes

CANVAS = (12, 16)
LABELS = make_labels()

MADE_BY_THE_STEP = {"image", "defects"}
"""Targets that do not come from an annotation."""
BOXES = np.array([[0, 0, 2, 2], [0, 0, 9, 9], [1, 1, 4, 4]], np.float32)
CLASSES, CROWD = np.array([0, 1, 2]), np.array([False, True, False])


def masks() -> np.ndarray:
    drawn = np.zeros((3, *CANVAS), np.bool_)
    for mask, (left, top, right, bottom) in zip(drawn, BOXES.astype(int), strict=True):
        mask[top:bottom, left:right] = True
    return drawn


def segments() -> np.ndarray:
    """The three boxes overlapping, on a background without a segment."""
    drawn = np.full(CANVAS, IGNORE, np.int32)
    for index in (1, 2, 0):
        drawn[masks()[index]] = index
    return drawn


TARGETS: dict[Task, Target] = {
    Task.PANOPTIC_SEGMENTATION: Panoptic(segments(), CLASSES, CROWD, np.ones(3, np.bool_)),
    Task.INSTANCE_SEGMENTATION: Instances(masks(), CLASSES, CROWD),
    Task.SEMANTIC_SEGMENTATION: ClassMap(segments()),
    Task.KEYPOINT_DETECTION: Keypoints(
        BOXES, CLASSES, CROWD, np.ones((3, 4, 2), np.float32), np.full((3, 4), 2), np.ones(3, np.float32)
    ),
    Task.QUADRILATERAL_DETECTION: Quads(BOXES[:, [[0, 1], [2, 1], [2, 3], [0, 3]]], CLASSES, CROWD, BOXES),
    Task.OBJECT_DETECTION: Boxes(BOXES, CLASSES, CROWD),
    Task.MULTILABEL_CLASSIFICATION: Labels(np.array([True, False, True])),
    Task.MULTICLASS_CLASSIFICATION: Label(2),
    Task.METRIC_LEARNING: Identity(1),
    Task.REGRESSION: Values(np.array([1, 0], np.float32), np.array([True, False])),
    Task.DEPTH_ESTIMATION: Depth(np.ones(CANVAS, np.float32), np.ones(CANVAS, np.bool_)),
    Task.ANOMALY_DETECTION: Anomaly(True, np.ones(CANVAS, np.bool_), True),
    Task.TEXT_RECOGNITION: Text("bad"),
    Task.AUTOENCODING: ImageOnly(1),
    Task.VIEW_INVARIANCE: ImageOnly(-1),
}


def shapes(most: int, labels: LabelSpace = LABELS) -> Shapes:
    return Shapes(labels, most, CANVAS)


def rows(task: Task, target: Target, most: int, labels: LabelSpace = LABELS) -> Mapping[str, Array]:
    return rows_of(task, target, shapes(most, labels), letterbox(CANVAS, CANVAS))


@pytest.mark.parametrize("task", Task)
def test_shapes_and_types_are_those_that_heads_are_tested_with(task: Task) -> None:
    fields = layout(task, shapes(6))
    wanted = make_targets(task, 2, CANVAS)
    assert set(fields) == set(wanted) - MADE_BY_THE_STEP
    for name, field in fields.items():
        assert f"torch.{field.dtype}" == str(wanted[name].dtype), name
        if task is not Task.TEXT_RECOGNITION:
            assert field.shape == tuple(wanted[name].shape[1:]), name


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("most", [3, 8])
def test_the_values_of_a_row_fit_into_its_tensors(task: Task, most: int) -> None:
    fields, found = layout(task, shapes(most)), rows(task, TARGETS[task], most)
    assert set(found) == set(fields)
    for name, field in fields.items():
        assert found[name].ndim == len(field.shape), name
        assert found[name].shape[1:] == field.shape[1:], name
        assert not field.shape or len(found[name]) <= field.shape[0], name


@pytest.mark.parametrize(
    "task",
    [
        Task.PANOPTIC_SEGMENTATION,
        Task.INSTANCE_SEGMENTATION,
        Task.KEYPOINT_DETECTION,
        Task.QUADRILATERAL_DETECTION,
        Task.OBJECT_DETECTION,
    ],
)
def test_the_largest_of_too_many_objects_stay_in_their_order(task: Task) -> None:
    found = rows(task, TARGETS[task], 2)
    assert found["classes"].tolist() == [1, 2]
    assert found["crowd"].tolist() == [True, False]
    assert found["valid"].tolist() == [True, True]
    if "boxes" in found:
        np.testing.assert_array_equal(found["boxes"], BOXES[1:])
    if task is not Task.PANOPTIC_SEGMENTATION:
        np.testing.assert_array_equal(found["beyond"], BOXES[:1])
        assert layout(task, shapes(2), beyond=1)["beyond"].shape == (1, 4)


def test_boxes_of_instances_are_tight() -> None:
    np.testing.assert_array_equal(rows(Task.INSTANCE_SEGMENTATION, TARGETS[Task.INSTANCE_SEGMENTATION], 8)["boxes"], BOXES)


def test_slivers_of_things_are_ignored_and_those_of_stuff_are_stuff() -> None:
    drawn = np.array([[0, 1, 2, 4, IGNORE]], np.int32)
    whole = np.array([False, False, True, True, True])
    target = Panoptic(drawn, np.array([0, 1, 0, 0, 2]), np.zeros(5, np.bool_), whole)
    labels = LabelSpace(classes=("cat", "grass", "dog"), things=(True, False, True))
    found = rows(Task.PANOPTIC_SEGMENTATION, target, 8, labels)
    assert found["segments"].tolist() == [[IGNORE, 0, 1, 2, IGNORE]], "the fourth segment is not visible"
    assert found["classes"].tolist() == [1, 0, 2]


def test_characters_are_indices_into_the_alphabet() -> None:
    assert rows(Task.TEXT_RECOGNITION, Text("bad"), 8, LabelSpace(alphabet="abcd"))["text"].tolist() == [1, 0, 3]
    assert rows(Task.TEXT_RECOGNITION, Text(""), 8, LabelSpace(alphabet="abcd"))["text"].tolist() == []
