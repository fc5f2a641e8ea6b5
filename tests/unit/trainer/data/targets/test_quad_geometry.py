import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from headrace_trainer.data.problems import Problems
from headrace_trainer.data.targets.quad_geometry import area, clean_quads, crossing_sides, signed_areas, visible_part

SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], np.float32)
BOW_TIE = SQUARE[[0, 2, 1, 3]]
DENTED = np.array([[0, 0], [10, 0], [3, 3], [0, 10]], np.float32)
FLAT = np.array([[0, 0], [5, 0], [10, 0], [2, 0]], np.float32)


def test_unusable_quadrilaterals_are_dropped_and_anticlockwise_ones_reversed() -> None:
    problems = Problems(0, lambda _: None)
    usable, quads = clean_quads(np.stack([SQUARE, BOW_TIE, SQUARE[[0, 3, 2, 1]], FLAT, DENTED, SQUARE[[2, 3, 0, 1]]]), problems)
    assert usable.tolist() == [True, False, True, False, True, True]
    np.testing.assert_array_equal(quads, [SQUARE, SQUARE, DENTED, SQUARE[[2, 3, 0, 1]]], "the first corner stays the first")
    assert problems.summary() == [
        "1 quadrilaterals dropped: no area",
        "1 quadrilaterals dropped: their sides cross",
        "1 quadrilaterals with anticlockwise corners reversed",
    ]


def test_no_quadrilateral_at_all() -> None:
    problems = Problems(0, lambda _: None)
    usable, quads = clean_quads(np.zeros((0, 4, 2), np.float32), problems)
    assert usable.shape == (0,)
    assert quads.shape == (0, 4, 2)
    assert problems.summary() == []


def test_area_is_positive_if_corners_go_clockwise_on_screen() -> None:
    assert signed_areas(np.stack([SQUARE, SQUARE[::-1]])).tolist() == [100, -100]
    assert crossing_sides(np.stack([SQUARE, BOW_TIE, SQUARE[[0, 1, 3, 2]], DENTED])).tolist() == [False, True, True, False]


@settings(max_examples=100, deadline=None)
@given(corners=st.lists(st.tuples(st.integers(-300, 900), st.integers(-300, 900)), min_size=4, max_size=4))
def test_the_part_in_a_window_has_the_area_of_its_pixels(corners: list[tuple[int, int]]) -> None:
    quad = np.array(corners, np.float64)
    if crossing_sides(quad[None])[0]:
        return
    picture = Image.new("1", (600, 400))
    ImageDraw.Draw(picture).polygon(corners, fill=1)
    shown = visible_part(quad, (0, 0, 600, 400))
    pixels = np.asarray(picture).sum()
    assert area(shown) == pytest.approx(pixels, rel=0.02, abs=2500), "except for pixels on the border"
    if len(shown):
        assert (shown >= -1e-9).all()
        assert (shown <= np.array([600, 400]) + 1e-9).all()
