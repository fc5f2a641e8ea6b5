"""The picture of the training: one row per head, whatever the numbers are."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headrace_trainer.ops.drawing import color_of
from headrace_trainer.worker.chart import SCALE, Points, draw_chart
from headrace_trainer.worker.curves import save_curves
from headrace_trainer.worker.history import History

HEADS = {"boxes": "object detection", "tags": "multilabel classification"}


def history_of(losses: dict[str, float], scores: dict[str, float], reports: int = 5) -> History:
    history = History()
    for iteration in range(1, reports + 1):
        history.losses.add(iteration, 1.0 * iteration, {name: value / iteration for name, value in losses.items()})
        history.scores.add(10 * iteration, 1.0 * iteration, scores)
    return history


def colored(pixels: np.ndarray, number: int, tolerance: int = 60) -> np.ndarray:
    """bool [H, W]: where the line with this number is drawn."""
    return np.abs(pixels.astype(int) - color_of(number)).max(axis=2) < tolerance


def chart(**lines: Points) -> np.ndarray:
    sheet = Image.new("RGB", (400 * SCALE, 200 * SCALE), (255, 255, 255))
    draw_chart(sheet, (0, 0, 400, 200), "title", lines)
    return np.asarray(sheet)


def test_each_head_has_a_row_and_several_have_one_together(tmp_path: Path) -> None:
    both = history_of({"boxes/a": 2.0, "tags/b": 1.0, "total": 3.0}, {"boxes/AP": 0.5, "tags/mAP": 0.2, "primary": 0.35})
    save_curves(both, HEADS, tmp_path / "pictures/both.png")
    save_curves(both, {"boxes": "object detection"}, tmp_path / "one.png")
    with Image.open(tmp_path / "pictures/both.png") as picture:
        assert picture.size == (1120, 3 * 260)
        pixels = np.asarray(picture)
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.size == (1120, 260)
    for row in range(3):
        for column in range(2):
            assert colored(pixels[row * 260 : (row + 1) * 260, column * 560 : (column + 1) * 560], 0).any(), (row, column)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["one.png"], "nothing else is left"


def test_a_job_that_learned_nothing_still_has_a_picture(tmp_path: Path) -> None:
    save_curves(History(), HEADS, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").is_file()


def test_a_line_that_falls_falls_from_left_to_right() -> None:
    pixels = chart(loss=[(x, 10.0 - x) for x in range(10)])
    rows, columns = np.nonzero(colored(pixels, 0)[70 * SCALE :])
    ends = {side: rows[columns == column].mean() for side, column in (("left", columns.min()), ("right", columns.max()))}
    assert ends["left"] < ends["right"]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([0.0], id="one zero"),
        pytest.param([5.0, 5.0], id="always the same"),
        pytest.param([1e-30, 1e30], id="sixty decades"),
        pytest.param([-3.0, -1.0], id="below zero"),
        pytest.param([0.0, 1e-9], id="next to nothing"),
        pytest.param([math.nan, 1.0, math.inf], id="not finite"),
        pytest.param([0.1, 1.0, 10.0], id="two decades"),
    ],
)
def test_whatever_the_numbers_are_they_are_drawn_inside(values: list[float]) -> None:
    pixels = chart(loss=list(enumerate(values)))
    rows, columns = np.nonzero(colored(pixels, 0))
    assert len(rows)
    assert columns.min() >= 60 * SCALE
    assert columns.max() <= 376 * SCALE
    assert rows.min() >= 26 * SCALE
    assert rows.max() <= 176 * SCALE


def test_a_line_without_a_number_is_left_out() -> None:
    assert np.array_equal(chart(a=[(0, 1.0), (1, 2.0)], b=[(0, math.nan)]), chart(a=[(0, 1.0), (1, 2.0)]))


def test_the_legend_hides_no_line_if_a_corner_is_free() -> None:
    """With one line along the top and one at the bottom right, the legend goes to the bottom left."""
    pixels = chart(high=[(x, 1.4) for x in range(7)], low=[(x, 0.2) for x in range(4, 7)])
    for number, rows in ((0, slice(0, 60 * SCALE)), (1, slice(100 * SCALE, None))):
        columns = np.nonzero(colored(pixels[rows, 220 * SCALE :], number).any(axis=0))[0]
        assert columns.max() >= 150 * SCALE
        assert np.diff(columns).max() == 1, f"line {number} is seen up to its end"
