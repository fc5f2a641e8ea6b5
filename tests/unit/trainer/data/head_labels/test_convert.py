"""Task conversions, over every pair of tasks and random targets."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_api.tasks import CONVERSIONS, Task, conversion_path, reachable
from headrace_trainer.data.annotations import QuadList
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.head_labels.convert import classes_along, conversion_of, convert_along
from headrace_trainer.data.targets import (
    IGNORE,
    NO_LABEL,
    Anomaly,
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
from headrace_trainer.data.targets.geometry import Geometry, letterbox
from headrace_trainer.tasks import describe

HEIGHT, WIDTH = 7, 9


@st.composite
def class_tables(draw: st.DrawFn) -> ClassTable:
    """One to five classes, at least one of them a thing."""
    count = draw(st.integers(1, 5))
    things = draw(st.lists(st.booleans(), min_size=count, max_size=count).filter(any))
    ids = sorted(draw(st.sets(st.integers(0, 200), min_size=count, max_size=count)))
    return ClassTable(tuple(f"class {class_id}" for class_id in ids), tuple(ids), tuple(things))


def _boxes(random: np.random.Generator, classes: int, n: int) -> Boxes:
    corners = np.sort(random.uniform(0, 9, (n, 2, 2)), axis=1).reshape(n, 4).astype(np.float32)
    return Boxes(corners, random.integers(classes, size=n), random.random(n) < 0.2)


def _instances(random: np.random.Generator, classes: int, n: int) -> Instances:
    masks = random.random((n, HEIGHT, WIDTH)) < 0.1
    masks[np.arange(n), random.integers(HEIGHT, size=n), random.integers(WIDTH, size=n)] = True  # no mask is empty
    return Instances(masks, random.integers(classes, size=n), random.random(n) < 0.2)


def _panoptic(random: np.random.Generator, classes: int, n: int) -> Panoptic:
    segments = random.integers(IGNORE, n, size=(HEIGHT, WIDTH)).astype(np.int32)
    return Panoptic(segments, random.integers(classes, size=n), random.random(n) < 0.2, random.random(n) < 0.8)


def _keypoints(random: np.random.Generator, classes: int, n: int) -> Keypoints:
    boxes = _boxes(random, classes, n)
    points = random.uniform(0, 9, (n, 3, 2)).astype(np.float32)
    return Keypoints(boxes.boxes, boxes.classes, boxes.crowd, points, random.integers(3, size=(n, 3)), np.ones(n, np.float32))


def _quads(random: np.random.Generator, classes: int, n: int) -> Quads:
    """Rectangles rotated by up to an eighth of a circle, partly off the canvas."""
    center, half, angle = random.uniform(0, 9, (n, 1, 2)), random.uniform(0.5, 4, (n, 1, 2)), random.uniform(-0.78, 0.78, n)
    turn = np.stack((np.stack((np.cos(angle), -np.sin(angle)), -1), np.stack((np.sin(angle), np.cos(angle)), -1)), -2)
    quads = (center + half * [[-1, -1], [1, -1], [1, 1], [-1, 1]] @ turn.swapaxes(1, 2)).astype(np.float32)
    bounds = np.concatenate((quads.min(axis=1), quads.max(axis=1)), axis=1).clip(0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    return Quads(quads, random.integers(classes, size=n), random.random(n) < 0.2, bounds.astype(np.float32))


MAKE: dict[Task, Callable[[np.random.Generator, int, int], Target]] = {
    Task.PANOPTIC_SEGMENTATION: _panoptic,
    Task.INSTANCE_SEGMENTATION: _instances,
    Task.OBJECT_DETECTION: _boxes,
    Task.SEMANTIC_SEGMENTATION: lambda random, classes, n: ClassMap(
        random.integers(IGNORE, classes, (HEIGHT, WIDTH)).astype(np.int32)
    ),
    Task.MULTICLASS_CLASSIFICATION: lambda random, classes, n: Label(int(random.integers(classes))),
    Task.MULTILABEL_CLASSIFICATION: lambda random, classes, n: Labels(random.random(classes) < 0.5),
    Task.KEYPOINT_DETECTION: _keypoints,
    Task.QUADRILATERAL_DETECTION: _quads,
    Task.METRIC_LEARNING: lambda random, classes, n: Identity(int(random.integers(classes))),
    Task.REGRESSION: lambda random, classes, n: Values(random.random(2).astype(np.float32), np.ones(2, np.bool_)),
    Task.DEPTH_ESTIMATION: lambda random, classes, n: Depth(
        random.random((HEIGHT, WIDTH)).astype(np.float32), np.ones((HEIGHT, WIDTH), np.bool_)
    ),
    Task.ANOMALY_DETECTION: lambda random, classes, n: Anomaly(False, np.zeros((HEIGHT, WIDTH), np.bool_), True),
    Task.TEXT_RECOGNITION: lambda random, classes, n: Text("text"),
    Task.AUTOENCODING: lambda random, classes, n: ImageOnly(int(random.integers(NO_LABEL, classes))),
    Task.VIEW_INVARIANCE: lambda random, classes, n: ImageOnly(int(random.integers(NO_LABEL, classes))),
}


def names_in(target: Any, classes: ClassTable) -> set[str]:
    """The names of the classes in a target."""
    indices: Any
    match target:
        case Boxes() | Instances() | Keypoints() | Quads():
            indices = target.classes
        case Panoptic():
            indices = target.classes[np.unique(target.segments[target.segments != IGNORE])]
        case ClassMap():
            indices = np.unique(target.map[target.map != IGNORE])
        case Labels():
            indices = np.flatnonzero(target.labels)
        case Label() | Identity():
            indices = [target.label]
        case ImageOnly():
            indices = [target.label] if target.label != NO_LABEL else []
        case Values() | Depth() | Anomaly() | Text():
            indices = []
    return {classes.names[index] for index in indices}


def test_there_is_a_converter_for_each_edge_of_the_graph_and_no_other() -> None:
    for target in Task:
        sources = {source for source, targets in CONVERSIONS.items() if target in targets}
        assert set(describe(target).made_from) == (set() if target.self_supervised else sources)
        assert all(conversion_of(source, target) for source in sources)
    assert set(MAKE) == set(Task), "every task is tested"


def test_without_a_path_there_is_no_conversion() -> None:
    for source, target in itertools.product(Task, Task):
        if conversion_path(source, target) is None:
            with pytest.raises(KeyError):
                convert_along((source, target), MAKE[source](np.random.default_rng(0), 1, 1), ClassTable(("a",), (0,)))


@pytest.mark.parametrize("source", Task)
@settings(max_examples=25, deadline=None)
@given(classes=class_tables(), seed=st.integers(0, 2**32), n=st.integers(0, 4))
def test_converting_carries_the_classes_over_and_goes_step_by_step(source: Task, classes: ClassTable, seed: int, n: int) -> None:
    original = MAKE[source](np.random.default_rng(seed), len(classes), n)
    for target in reachable(source):
        path = conversion_path(source, target)
        assert path is not None
        check_conversion(path, original, classes)


def check_conversion(path: tuple[Task, ...], original: Target, classes: ClassTable) -> None:
    source, target = path[0], path[-1]
    converted = convert_along(path, original, classes)
    table = classes_along(path, classes)
    assert type(converted) is type(MAKE[target](np.random.default_rng(0), 1, 1))
    # Classes mean the same before and after the conversion; only stuff is lost on the way to instances.
    before = names_in(original, classes)
    after = names_in(converted, table)
    assert after <= before
    if target.self_supervised and type(original) not in (Label, Identity, ImageOnly):
        assert after == set()
        assert not len(table)
    elif Task.INSTANCE_SEGMENTATION not in path or source is not Task.PANOPTIC_SEGMENTATION:
        assert after == before
        assert table == classes
    else:
        things = {name for name, thing in zip(classes.names, classes.things, strict=True) if thing}
        assert set(table.names) == things
        assert isinstance(original, Panoptic)
        slivers = {classes.names[index] for index in original.classes[~original.whole]}
        assert after >= (before & things) - slivers
    # Going one step at a time gives the same result.
    stepped, at = original, classes
    for step in itertools.pairwise(path):
        stepped, at = convert_along(step, stepped, at), classes_along(step, at)
    assert at == table
    for name, value in vars(converted).items():
        np.testing.assert_array_equal(value, getattr(stepped, name))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 4))
def test_boxes_are_tight_and_half_open(seed: int, n: int) -> None:
    instances = _instances(np.random.default_rng(seed), 3, n)
    classes = ClassTable.of({0: "a", 1: "b", 2: "c"})
    boxes = convert_along((Task.INSTANCE_SEGMENTATION, Task.OBJECT_DETECTION), instances, classes)
    assert isinstance(boxes, Boxes)
    for mask, box in zip(instances.masks, boxes.boxes.astype(int), strict=True):
        left, top, right, bottom = box
        inside = mask[top:bottom, left:right]
        assert inside.sum() == mask.sum(), "nothing is outside"
        assert inside[0].any(), "top row"
        assert inside[-1].any(), "bottom row"
        assert inside[:, 0].any(), "left column"
        assert inside[:, -1].any(), "right column"


def test_panoptic_things_become_disjoint_instances_and_all_pixels_a_map() -> None:
    segments = np.array([[0, 0, 1], [2, IGNORE, 1], [3, 3, 3]], np.int32)
    target = Panoptic(segments, np.array([2, 0, 1, 2]), np.array([False, True, False, False]), np.array([True, True, True, False]))
    classes = ClassTable(("grass", "cat", "dog"), (1, 2, 3), (False, True, True))
    instances = convert_along((Task.PANOPTIC_SEGMENTATION, Task.INSTANCE_SEGMENTATION), target, classes)
    assert isinstance(instances, Instances)
    np.testing.assert_array_equal(instances.masks, [segments == 0, segments == 2])
    assert instances.classes.tolist() == [1, 0]
    semantic = convert_along((Task.PANOPTIC_SEGMENTATION, Task.SEMANTIC_SEGMENTATION), target, classes)
    assert isinstance(semantic, ClassMap)
    np.testing.assert_array_equal(semantic.map, [[2, 2, 0], [1, IGNORE, 0], [2, 2, 2]])


def test_an_image_without_objects_has_no_labels() -> None:
    none = Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    labels = convert_along((Task.OBJECT_DETECTION, Task.MULTILABEL_CLASSIFICATION), none, ClassTable.of({1: "a", 2: "b"}))
    assert isinstance(labels, Labels)
    assert labels.labels.tolist() == [False, False]


def convert(target: Target, *path: Task) -> Any:
    return convert_along(path, target, ClassTable.of({0: "a", 1: "b", 2: "c"}))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 4))
def test_a_box_becomes_its_corners_clockwise_from_the_top_left_and_these_the_box_again(seed: int, n: int) -> None:
    boxes = _boxes(np.random.default_rng(seed), 3, n)
    quads = convert(boxes, Task.OBJECT_DETECTION, Task.QUADRILATERAL_DETECTION)
    for (left, top, right, bottom), corners in zip(boxes.boxes, quads.quads, strict=True):
        np.testing.assert_array_equal(corners, [[left, top], [right, top], [right, bottom], [left, bottom]])
    again = convert(quads, Task.QUADRILATERAL_DETECTION, Task.OBJECT_DETECTION)
    for name, values in vars(boxes).items():
        np.testing.assert_array_equal(getattr(again, name), values)


def test_a_quadrilateral_becomes_the_box_around_its_visible_part() -> None:
    diamond = np.array([[[20, 5], [25, 10], [20, 15], [15, 10]]], np.float32)
    crop = Geometry((40, 40), (40, 40), 0, 0, (40, 18))
    quads = QuadList(diamond, classes=np.zeros(1, np.int64), crowd=np.zeros(1, np.bool_), normalised=False).render(crop)
    boxes = convert(quads, Task.QUADRILATERAL_DETECTION, Task.OBJECT_DETECTION)
    np.testing.assert_allclose(boxes.boxes, [[15, 7, 18, 13]])
    whole = QuadList(diamond, classes=np.zeros(1, np.int64), crowd=np.zeros(1, np.bool_), normalised=False).render(
        letterbox((40, 40), (40, 40))
    )
    np.testing.assert_allclose(convert(whole, Task.QUADRILATERAL_DETECTION, Task.OBJECT_DETECTION).boxes, [[15, 5, 25, 15]])


def test_keypoints_become_the_boxes_of_their_objects_with_or_without_labelled_ones() -> None:
    keypoints = _keypoints(np.random.default_rng(0), 3, 4)
    boxes = convert(keypoints, Task.KEYPOINT_DETECTION, Task.OBJECT_DETECTION)
    np.testing.assert_array_equal(boxes.boxes, keypoints.boxes)
    np.testing.assert_array_equal(boxes.crowd, keypoints.crowd)


def test_only_one_label_per_image_is_kept_for_self_supervision() -> None:
    assert convert(Label(2), Task.MULTICLASS_CLASSIFICATION, Task.VIEW_INVARIANCE).label == 2
    assert convert(Identity(1), Task.METRIC_LEARNING, Task.AUTOENCODING).label == 1
    assert convert(Labels(np.ones(3, np.bool_)), Task.MULTILABEL_CLASSIFICATION, Task.VIEW_INVARIANCE).label == NO_LABEL
