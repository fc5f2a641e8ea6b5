import numpy as np

from headrace_trainer.ops.drawing import SMALLEST_SIDE, Canvas, color_of


def test_small_images_are_enlarged_by_a_whole_factor_and_large_ones_are_not() -> None:
    assert Canvas(np.zeros((96, 64, 3), np.uint8)).pixels().shape == (SMALLEST_SIDE, 256, 3)
    assert Canvas(np.zeros((500, 400, 3), np.uint8)).pixels().shape == (500, 400, 3)


def test_a_box_is_drawn_where_it_lies_in_its_class_color() -> None:
    canvas = Canvas(np.zeros((96, 96, 3), np.uint8))
    canvas.box([24, 48, 72, 84], "", 5)
    picture = canvas.pixels()
    for row, column in ((48, 50), (84, 50), (60, 24), (60, 72)):
        patch = picture[row * 4 - 2 : row * 4 + 3, column * 4 - 2 : column * 4 + 3].reshape(-1, 3)
        assert tuple(color_of(5)) in set(map(tuple, patch.tolist()))
    assert not picture[66 * 4, 48 * 4].any()


def test_boxes_outside_the_image_or_turned_over_do_no_harm() -> None:
    canvas = Canvas(np.zeros((32, 32, 3), np.uint8))
    canvas.box([40, 40, 90, 90], "a very long class name that fits nowhere 0.99", 0)
    canvas.box([10, 10, 10, 10], "dot", 1)
    canvas.box([-20, -20, -10, -10], "away", 2)
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


def test_an_overlay_leaves_the_rest_alone() -> None:
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
