"""Pixels and labels land in the same place, under any geometry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from headrace_trainer.data.annotations import BoxList, InstanceList, Rings, Runs
from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.targets import IGNORE
from headrace_trainer.data.targets.geometry import PAD_COLOR, Geometry, letterbox, zoomed

RED = (250, 20, 20)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    source = (draw(st.integers(20, 90)), draw(st.integers(20, 90)))
    canvas = (draw(st.integers(32, 80)), draw(st.integers(32, 80)))
    if draw(st.booleans()):
        return letterbox(source, canvas)
    share = st.floats(0, 1)
    zoom = draw(st.floats(0.4, 3))
    return zoomed(source, canvas, zoom, (draw(share), draw(share)), draw(st.booleans()))


@st.composite
def rectangles(draw: st.DrawFn, size: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top = draw(st.integers(0, size[1] - 6)), draw(st.integers(0, size[0] - 6))
    return left, top, draw(st.integers(left + 5, size[1])), draw(st.integers(top + 5, size[0]))


def extent(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Tight half-open box around the True pixels."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@settings(max_examples=150, deadline=None)
@given(data=st.data(), geometry=geometries())
def test_box_mask_polygon_and_map_stay_on_their_rectangle(data: st.DataObject, geometry: Geometry) -> None:
    left, top, right, bottom = data.draw(rectangles(geometry.source))
    pixels = np.zeros((*geometry.source, 3), np.uint8)
    pixels[top:bottom, left:right] = RED
    values = (pixels[..., 0] > 0).astype(np.int32)
    red = geometry.place_image(Image.fromarray(pixels))[..., 0] > 187  # half way from the padding, or three quarters from black
    boxes, enough = geometry.place_boxes(np.array([[left, top, right, bottom]], np.float32))
    placed = geometry.place_map(values, IGNORE)
    if not (placed == 1).any() or not enough[0]:
        return
    # The map agrees with the pixels, except for one pixel along each edge, which resampling blends.
    assert (red & (placed != 1)).sum() <= 1 + red.sum() // 50
    # The box bounds the map's pixels: it contains their centres, and no edge is a pixel away.
    np.testing.assert_allclose(boxes[0], extent(placed == 1), atol=0.51)
    # Polygons are drawn where the map is.
    ring = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    drawn, whole = Rings((ring,), normalised=False).draw(geometry)
    np.testing.assert_allclose(boxes[0], extent(drawn), atol=1.01)
    down, across = geometry.scale
    assert whole == pytest.approx((right - left) * (bottom - top) * down * across, rel=1e-6)
    # Fractions of the image's sides mean the same as pixels.
    unit = np.array(geometry.source[::-1] * 2, np.float32)
    shares = BoxList(
        np.array([[left, top, right, bottom]], np.float32) / unit,
        normalised=True,
        classes=np.zeros(1, np.int64),
        crowd=np.zeros(1, np.bool_),
    )
    np.testing.assert_allclose(shares.render(geometry).boxes, boxes, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(geometry=geometries())
def test_padding_is_ignored_in_maps_and_of_one_colour_in_pictures(geometry: Geometry) -> None:
    placed = geometry.place_map(np.zeros(geometry.source, np.int32), IGNORE)
    image = geometry.place_image(Image.new("RGB", geometry.source[::-1], RED))
    np.testing.assert_array_equal(image[placed == IGNORE], np.broadcast_to(PAD_COLOR, ((placed == IGNORE).sum(), 3)))
    np.testing.assert_array_equal(image[placed == 0], np.broadcast_to(RED, ((placed == 0).sum(), 3)))
    np.testing.assert_array_equal(geometry.shown_map, placed == 0)
    assert image.shape == (*geometry.canvas, 3)


@settings(max_examples=60, deadline=None)
@given(source=st.tuples(st.integers(1, 300), st.integers(1, 300)), canvas=st.tuples(st.integers(32, 90), st.integers(32, 90)))
def test_the_letterbox_shows_the_whole_image_as_large_as_fits_and_centred(source: tuple[int, int], canvas: tuple[int, int]) -> None:
    geometry = letterbox(source, canvas)
    top, left, bottom, right = geometry.window
    assert (bottom - top, right - left) == geometry.scaled, "nothing is cut"
    assert geometry.scaled[0] == canvas[0] or geometry.scaled[1] == canvas[1]
    assert abs(top - (canvas[0] - bottom)) <= 1
    assert abs(left - (canvas[1] - right)) <= 1
    assert abs(geometry.scaled[0] / source[0] * source[1] - geometry.scaled[1]) <= max(1, source[1] / source[0])


def crop() -> Geometry:
    """The left half of a 40 × 40 image, at its own size."""
    return Geometry((40, 40), (40, 40), 0, 0, (40, 20), min_visible=0.1, min_side=1.0)


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((15, 0, 25, 10), [15, 0, 20, 10]),  # half of it is visible
        ((19, 0, 29, 10), [19, 0, 20, 10]),  # a tenth
        ((19.1, 0, 29, 10), None),  # less than a tenth
        ((25, 0, 35, 10), None),  # nothing
        ((5, 5, 5.5, 15), None),  # less than a pixel wide
    ],
)
def test_a_box_stays_while_a_tenth_of_it_and_a_pixel_are_visible(box: tuple[float, ...], kept: list[int] | None) -> None:
    boxes, enough = crop().place_boxes(np.array([box], np.float32))
    assert bool(enough[0]) is (kept is not None)
    if kept is not None:
        np.testing.assert_allclose(boxes[0], kept)


def test_evaluation_keeps_tiny_boxes() -> None:
    boxes, enough = letterbox((400, 400), (40, 40)).place_boxes(np.array([[0, 0, 2, 2]], np.float32))
    assert enough[0]
    np.testing.assert_allclose(boxes[0], [0, 0, 0.2, 0.2], atol=1e-6)


def test_an_instance_stays_while_a_tenth_of_its_pixels_is_visible() -> None:
    def rectangle(left: float) -> Rings:
        return Rings((np.array([[left, 0], [left + 10, 0], [left + 10, 10], [left, 10]], np.float32),), normalised=False)

    shapes = [rectangle(left) for left in (15, 19, 25)]
    target = InstanceList(shapes, classes=np.arange(3), crowd=np.zeros(3, np.bool_)).render(crop())
    assert target.classes.tolist() == [0, 1]
    assert target.masks.sum(axis=(1, 2)).tolist() == [50, 10]


def test_a_flip_mirrors_the_canvas() -> None:
    source = (10, 20)
    plain = zoomed(source, (32, 32), 1.0, (0.0, 0.0), flip=False)
    flipped = zoomed(source, (32, 32), 1.0, (0.0, 0.0), flip=True)
    values = np.arange(200, dtype=np.int32).reshape(source)
    np.testing.assert_array_equal(flipped.place_map(values, IGNORE), plain.place_map(values, IGNORE)[:, ::-1])
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*source, 3), np.uint8))
    np.testing.assert_array_equal(flipped.place_image(image), plain.place_image(image)[:, ::-1])
    box = np.array([[2, 1, 9, 7]], np.float32)
    left, top, right, bottom = plain.place_boxes(box)[0][0]
    np.testing.assert_allclose(flipped.place_boxes(box)[0][0], [32 - right, top, 32 - left, bottom])


def test_annotations_with_another_size_are_refused() -> None:
    geometry = letterbox((40, 60), (32, 32))
    boxes = BoxList(
        np.zeros((0, 4), np.float32),
        normalised=False,
        classes=np.zeros(0, np.int64),
        crowd=np.zeros(0, np.bool_),
        size=(60, 40),
        where="train.json",
    )
    with pytest.raises(BadSampleError, match=r"train\.json is for 40 x 60 pixels, but the image has 60 x 40"):
        boxes.render(geometry)
    with pytest.raises(BadSampleError, match="annotation 3 is for 5 x 5 pixels"):
        Runs(b"", (5, 5), 1, "annotation 3").draw(geometry)
