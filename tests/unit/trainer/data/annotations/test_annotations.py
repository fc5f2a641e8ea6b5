"""Keypoints, quadrilaterals, maps and whole-image labels, under any geometry."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from headrace_trainer.data.annotations import (
    AnomalyLabel,
    DepthFile,
    IdentityLabel,
    ImageLabel,
    KeypointList,
    LabelSet,
    QuadList,
    TextLabel,
    ValueList,
)
from headrace_trainer.data.annotations.keypoint_table import KeypointTable
from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.targets import Keypoints
from headrace_trainer.data.targets.geometry import Geometry, letterbox, zoomed
from headrace_trainer.data.targets.quad_geometry import signed_areas

SIZE = (40, 60)
TABLE = KeypointTable.of(["left eye", "right eye", "nose"])


def as_it_is(flip: bool = False, size: tuple[int, int] = SIZE) -> Geometry:
    """The image at its own size."""
    return Geometry(size, size, 0, 0, size, flip)


def person(points: np.ndarray, visibility: list[int], box: tuple[float, ...] = (10, 10, 30, 30)) -> KeypointList:
    boxes = np.array([box], np.float32)
    return KeypointList(
        TABLE,
        boxes,
        np.array([points], np.float32),
        np.array([visibility]),
        np.array([300], np.float32),
        normalised=False,
        classes=np.zeros(1, np.int64),
        crowd=np.zeros(1, np.bool_),
    )


def quad_list(quads: np.ndarray) -> QuadList:
    n = len(quads)
    return QuadList(np.asarray(quads, np.float32), normalised=False, classes=np.arange(n), crowd=np.zeros(n, np.bool_))


def turned_rectangle(center: tuple[float, float], half: tuple[float, float], degrees: float) -> np.ndarray:
    """Corners clockwise from the top left of the rectangle before it was rotated clockwise."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.array(center) + np.array(half) * [[-1, -1], [1, -1], [1, 1], [-1, 1]] @ turn.T


points_inside = st.tuples(st.floats(0, SIZE[1]), st.floats(0, SIZE[0]))
rectangles = st.builds(turned_rectangle, points_inside, st.tuples(st.floats(2, 15), st.floats(2, 15)), st.floats(-44, 44))


def test_left_and_right_change_places_in_a_mirrored_image() -> None:
    annotation = person(np.array([[12, 15], [28, 16], [20, 25]]), [2, 1, 2])
    target = annotation.render(as_it_is(flip=True))
    np.testing.assert_allclose(target.keypoints[0], [[60 - 28, 16], [60 - 12, 15], [60 - 20, 25]])
    assert target.visibility.tolist() == [[1, 2, 2]]
    np.testing.assert_allclose(target.boxes[0], [30, 10, 50, 30])


def annotation_of(target: Keypoints) -> KeypointList:
    parts = (target.boxes, target.keypoints, target.visibility, target.area)
    return KeypointList(TABLE, *parts, normalised=False, classes=target.classes, crowd=target.crowd)


@settings(max_examples=60, deadline=None)
@given(points=st.lists(points_inside, min_size=3, max_size=3), visibility=st.lists(st.integers(0, 2), min_size=3, max_size=3))
def test_mirroring_keypoints_twice_changes_nothing(points: list[tuple[float, float]], visibility: list[int]) -> None:
    once = person(np.array(points), visibility).render(as_it_is())
    twice = annotation_of(annotation_of(once).render(as_it_is(flip=True))).render(as_it_is(flip=True))
    for name, values in vars(once).items():
        np.testing.assert_allclose(getattr(twice, name), values, atol=1e-4, err_msg=name)


def test_keypoints_outside_the_crop_are_not_labelled_and_are_zero() -> None:
    left_half = Geometry(SIZE, SIZE, 0, 0, (40, 30), min_visible=0.1, min_side=1.0)
    target = person(np.array([[12, 15], [45, 16], [30, 25]]), [2, 2, 1], box=(10, 10, 50, 30)).render(left_half)
    assert target.visibility.tolist() == [[2, 0, 1]], "the border counts"
    assert target.keypoints[0, 1].tolist() == [0, 0]
    assert target.area.tolist() == [300], "OKS uses the area of the whole object"


def test_an_object_without_a_labelled_keypoint_keeps_its_box() -> None:
    target = person(np.zeros((3, 2)), [0, 0, 0]).render(as_it_is())
    assert target.boxes.tolist() == [[10, 10, 30, 30]]
    assert not target.visibility.any()


@pytest.mark.parametrize("canvas", [(80, 120), (40, 30), (64, 64)], ids=str)
def test_keypoints_land_where_boxes_do_on_images_that_are_not_square(canvas: tuple[int, int]) -> None:
    corners = np.array([[10, 10], [30, 10], [30, 30]])
    target = person(corners, [2, 2, 2]).render(letterbox(SIZE, canvas))
    left, top, right, bottom = target.boxes[0]
    np.testing.assert_allclose(target.keypoints[0], [[left, top], [right, top], [right, bottom]], atol=1e-4)
    np.testing.assert_allclose(target.area[0] / ((right - left) * (bottom - top)), 300 / 400, rtol=1e-4)


def test_fractions_of_the_image_mean_the_same_as_pixels() -> None:
    pixels = person(np.array([[12, 15], [28, 16], [20, 25]]), [2, 1, 2])
    unit = np.array([60, 40, 60, 40], np.float32)
    shares = KeypointList(
        TABLE,
        pixels.boxes / unit,
        pixels.keypoints / unit[:2],
        pixels.visibility,
        pixels.area / 2400,
        normalised=True,
        classes=pixels.classes,
        crowd=pixels.crowd,
    )
    for name, values in vars(pixels.render(letterbox(SIZE, (64, 64)))).items():
        np.testing.assert_allclose(getattr(shares.render(letterbox(SIZE, (64, 64))), name), values, rtol=1e-5, err_msg=name)
    quads = np.array([turned_rectangle((30, 20), (9, 5), 20)], np.float32)
    of_shares = QuadList(quads / unit[:2], normalised=True, classes=np.zeros(1, np.int64), crowd=np.zeros(1, np.bool_))
    np.testing.assert_allclose(of_shares.render(as_it_is()).quads, quad_list(quads).render(as_it_is()).quads, rtol=1e-5)


@settings(max_examples=100, deadline=None)
@given(quad=rectangles, zoom=st.floats(0.4, 3), place=st.tuples(st.floats(0, 1), st.floats(0, 1)), flip=st.booleans())
def test_corners_stay_clockwise_and_begin_at_the_top_left_under_any_geometry(
    quad: np.ndarray, zoom: float, place: tuple[float, float], flip: bool
) -> None:
    target = quad_list(quad[None]).render(zoomed(SIZE, (48, 48), zoom, place, flip))
    for placed, bounds in zip(target.quads, target.bounds, strict=True):
        assert signed_areas(placed[None])[0] > 0
        # Rotated by less than an eighth of a circle, the top left corner is the one with the smallest x + y.
        middle = placed.mean(axis=0)
        assert (placed[0] - middle).sum() < 0
        assert placed[0][0] < placed[1][0], "the second corner is to the right"
        assert placed[0][1] < placed[3][1], "the last is below"
        assert (bounds[:2] >= 0).all()
        assert (bounds[2:] <= 48).all()


@settings(max_examples=60, deadline=None)
@given(quad=rectangles)
def test_mirroring_quads_twice_changes_nothing(quad: np.ndarray) -> None:
    once = quad_list(quad[None]).render(as_it_is())
    twice = quad_list(quad_list(once.quads).render(as_it_is(flip=True)).quads).render(as_it_is(flip=True))
    for name, values in vars(once).items():
        np.testing.assert_allclose(getattr(twice, name), values, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("degrees", [-46.0, -45.0, -44.0, 0.0, 44.0, 45.0, 46.0, 89.0, 90.0, 91.0])
def test_corners_never_jump_as_a_quadrilateral_turns(degrees: float) -> None:
    """An earlier multi-head library numbered corners by position: past a certain angle they swapped."""
    before, after = (quad_list(turned_rectangle((30, 20), (12, 6), degrees + step)[None]) for step in (0.0, 1e-3))
    moved = after.render(as_it_is()).quads - before.render(as_it_is()).quads
    assert np.abs(moved).max() < 0.01
    mirrored = after.render(as_it_is(flip=True)).quads - before.render(as_it_is(flip=True)).quads
    assert np.abs(mirrored).max() < 0.01


def test_a_quadrilateral_stays_while_a_tenth_of_it_is_visible() -> None:
    crop = Geometry((40, 40), (40, 40), 0, 0, (40, 20), min_visible=0.1, min_side=1.0)
    # Diamonds 10 pixels wide with their left tips at these places: 2 % of the last but one is visible.
    diamonds = np.array([[[x, 20], [x + 5, 15], [x + 10, 20], [x + 5, 25]] for x in (5, 15, 17, 19, 25)])
    target = quad_list(diamonds).render(crop)
    assert target.classes.tolist() == [0, 1, 2]
    np.testing.assert_allclose(target.bounds[1], [15, 15, 20, 25])
    np.testing.assert_allclose(target.bounds[2], [17, 17, 20, 23])
    assert (target.quads[1][:, 0] > 20).any(), "corners are not clipped"


def test_unknown_values_are_marked_as_unknown() -> None:
    target = ValueList(np.array([3, np.nan, -1], np.float32)).render(as_it_is())
    assert target.values.tolist() == [3, 0, -1]
    assert target.known.tolist() == [True, False, True]


def test_labels_of_the_image_are_carried_over() -> None:
    assert ImageLabel(3).render(as_it_is()).label == 3
    assert IdentityLabel(4).render(as_it_is()).label == 4
    assert LabelSet([0, 2], 4).render(as_it_is()).labels.tolist() == [True, False, True, False]
    assert LabelSet([], 2).render(as_it_is()).labels.tolist() == [False, False]
    assert TextLabel("ab").render(as_it_is()).text == "ab"
    assert TextLabel("ab").objects == 2


DEPTH = np.array([[0, 1000], [2000, 3000]])


def depth_file(folder: Path, kind: str) -> DepthFile:
    if kind == "png":
        Image.fromarray(DEPTH.astype(np.uint16)).save(folder / "depth.png")
        return DepthFile(folder / "depth.png", "depth.png", scale=0.001)
    values = DEPTH / 1000
    values[0, 0] = np.nan
    np.save(folder / "depth.npy", values)
    return DepthFile(folder / "depth.npy", "depth.npy")


@pytest.mark.parametrize("kind", ["png", "npy"])
def test_depth_is_scaled_placed_and_known_where_it_is_above_zero(tmp_path: Path, kind: str) -> None:
    annotation = depth_file(tmp_path, kind)
    assert annotation.stated_size() == (2, 2)
    target = annotation.render(zoomed((2, 2), (4, 8), 1.0, (0.0, 0.0), flip=True))
    np.testing.assert_allclose(target.depth[:, 4:].T, [[1, 1, 3, 3]] * 2 + [[0, 0, 2, 2]] * 2)
    assert target.known.tolist() == (target.depth > 0).tolist()
    assert not target.known[:, :4].any(), "padding"


def test_unreadable_depth_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY")
    np.save(tmp_path / "b.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "c.npy", np.array([None, 1], object))
    (tmp_path / "d.png").write_bytes(b"\x89PNG")
    Image.new("RGB", (2, 2)).save(tmp_path / "e.png")
    complaints = {
        "a.npy": "not a readable NPY file",
        "b.npy": r"expected an array \[height, width\] of numbers; found float64 \(2, 2, 2\)",
        "c.npy": "not a readable NPY file",
        "d.png": "not a readable PNG",
        "e.png": "expected one channel",
    }
    for name, complaint in complaints.items():
        with pytest.raises(BadSampleError, match=complaint):
            DepthFile(tmp_path / name, name).render(as_it_is(size=(2, 2)))
    with pytest.raises(BadSampleError, match="is for 2 x 2 pixels, but the image has 60 x 40"):
        depth_file(tmp_path, "npy").render(as_it_is())


def test_a_normal_image_has_no_anomalous_pixel_and_an_anomalous_one_perhaps_unknown_ones(tmp_path: Path) -> None:
    marked = np.zeros(SIZE, np.uint8)
    marked[5:10, 20:30] = 255
    Image.fromarray(marked).save(tmp_path / "mask.png")
    normal = AnomalyLabel(False).render(as_it_is())
    assert (normal.anomalous, normal.has_mask, normal.mask.any()) == (False, True, False)
    unmarked = AnomalyLabel(True).render(as_it_is())
    assert (unmarked.anomalous, unmarked.has_mask, unmarked.mask.any()) == (True, False, False)
    found = AnomalyLabel(True, tmp_path / "mask.png").render(as_it_is(flip=True))
    assert (found.anomalous, found.has_mask) == (True, True)
    np.testing.assert_array_equal(found.mask, (marked > 0)[:, ::-1])
    with pytest.raises(BadSampleError, match="expected an empty mask for an image labelled normal"):
        AnomalyLabel(False, tmp_path / "mask.png").render(as_it_is())
    with pytest.raises(BadSampleError, match="is for 60 x 40 pixels, but the image has 60 x 60"):
        AnomalyLabel(True, tmp_path / "mask.png").render(as_it_is(size=(60, 60)))
