import numpy as np

from headrace_trainer.ops.drawing import SMALLEST_SIDE, Canvas, color_of, with_score


def test_small_images_are_enlarged_by_a_whole_factor_and_large_ones_are_not() -> None:
    assert Canvas(np.zeros((96, 64, 3), np.uint8)).pixels().shape == (SMALLEST_SIDE, 256, 3)
    assert Canvas(np.zeros((500, 400, 3), np.uint8)).pixels().shape == (500, 400, 3)


def test_a_box_is_drawn_where_it_is_in_its_class_color() -> None:
    canvas = Canvas(np.zeros((96, 96, 3), np.uint8))
    canvas.box([24, 48, 72, 84], "", 5)
    picture = canvas.pixels()
    for row, column in ((48, 50), (84, 50), (60, 24), (60, 72)):
        patch = picture[row * 4 - 2 : row * 4 + 3, column * 4 - 2 : column * 4 + 3].reshape(-1, 3)
        assert tuple(color_of(5)) in set(map(tuple, patch.tolist()))
    assert not picture[66 * 4, 48 * 4].any()


def test_boxes_outside_the_image_or_inverted_do_no_harm() -> None:
    canvas = Canvas(np.zeros((32, 32, 3), np.uint8))
    canvas.box([40, 40, 90, 90], "a very long class name that fits nowhere 0.99", 0)
    canvas.box([10, 10, 10, 10], "dot", 1)
    canvas.box([-20, -20, -10, -10], "away", 2)
    assert canvas.pixels().any()


def colors_at(picture: np.ndarray, x: float, y: float) -> set[tuple[int, int, int]]:
    """The enlarged pixels around a point in a 96 px image."""
    patch = picture[round(y * 4) - 2 : round(y * 4) + 3, round(x * 4) - 2 : round(x * 4) + 3].reshape(-1, 3)
    return {(int(red), int(green), int(blue)) for red, green, blue in patch}


def test_a_polygon_is_an_outline_whose_first_corner_is_marked() -> None:
    corners = [[70.0, 40.0], [80.0, 80.0], [30.0, 85.0], [20.0, 50.0]]
    canvas = Canvas(np.zeros((96, 96, 3), np.uint8))
    canvas.polygon(corners, "", 5)
    picture = canvas.pixels()
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        assert color_of(5) in colors_at(picture, (x0 + x1) / 2, (y0 + y1) / 2)
    assert not picture[65 * 4, 50 * 4].any()
    marked = [(colors_at(picture, x, y) == {color_of(5)}) for x, y in corners]
    assert marked == [True, False, False, False]


def test_lines_and_dots_are_drawn_where_they_are() -> None:
    canvas = Canvas(np.zeros((96, 96, 3), np.uint8))
    canvas.line([10, 20], [90, 60], 3)
    canvas.dot([40, 80], 4)
    picture = canvas.pixels()
    for share in (0, 0.3, 1):
        assert color_of(3) in colors_at(picture, 10 + 80 * share, 20 + 40 * share)
    assert colors_at(picture, 40, 80) == {color_of(4)}
    assert colors_at(picture, 90, 20) == {(0, 0, 0)}


def test_lines_and_polygons_that_leave_the_image_do_no_harm() -> None:
    canvas = Canvas(np.zeros((32, 32, 3), np.uint8))
    canvas.line([-1e9, 5], [1e9, 5], 0)
    canvas.polygon([[-1e6, -1e6], [1e6, -1e6], [1e6, 1e6], [-1e6, 1e6]], "everywhere", 1)
    canvas.polygon([[8, 8]] * 4, "a point", 2)
    assert canvas.pixels().any()


def test_captions_are_stacked() -> None:
    one, two = Canvas(np.zeros((96, 96, 3), np.uint8)), Canvas(np.zeros((96, 96, 3), np.uint8))
    one.caption("cat", 0)
    two.caption("cat", 0)
    two.caption("dog", 1)
    first = one.pixels()
    height = np.flatnonzero(first.any(axis=(1, 2))).max() + 1
    assert (two.pixels()[: height - 1] == first[: height - 1]).all()
    assert two.pixels()[height:].any()


def test_an_overlay_blends_and_keeps_the_image_below() -> None:
    canvas = Canvas(np.full((4, 4, 3), 200, np.uint8))
    canvas.overlay(np.zeros((4, 4, 3), np.uint8), opacity=0.5)
    assert np.unique(canvas.pixels()).tolist() == [100]


def test_an_overlay_does_not_change_the_rest() -> None:
    canvas = Canvas(np.full((4, 4, 3), 200, np.uint8))
    where = np.zeros((4, 4), np.bool_)
    where[:, :2] = True
    canvas.overlay(np.zeros((4, 4, 3), np.uint8), opacity=0.5, where=where)
    picture = canvas.pixels()
    assert (picture[:, : 2 * canvas.scale] == 100).all()
    assert (picture[:, 2 * canvas.scale :] == 200).all()


def test_neighbouring_classes_have_colors_that_differ() -> None:
    colors = np.asarray([color_of(number) for number in range(80)])
    assert len(np.unique(colors, axis=0)) == 80
    assert np.abs(np.diff(colors, axis=0)).sum(axis=1).min() > 60


def test_a_score_is_written_unless_it_is_certain() -> None:
    assert with_score("cat", 0.937) == "cat 0.94"
    assert with_score("cat", 1.0) == "cat"
