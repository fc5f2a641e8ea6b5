from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from headrace_api.tasks import Task
from headrace_trainer.heads.base import Head
from headrace_trainer.worker.pictures import COLUMNS, PredictionGrid


class Painter:
    """Stands for a head: draws images in the one colour that it predicts for them."""

    task = Task.OBJECT_DETECTION

    def draw(self, image: np.ndarray, predictions: Mapping[str, Tensor], index: int) -> np.ndarray:
        return np.full_like(image, int(predictions["shade"][index]))


def grid_of(*names: str) -> PredictionGrid:
    return PredictionGrid({name: cast(Head, Painter()) for name in names})


def images(count: int, height: int, width: int) -> Tensor:
    return torch.zeros(count, 3, height, width, dtype=torch.uint8)


def test_rows_are_heads_and_columns_are_images(tmp_path: Path) -> None:
    grid = grid_of("first", "second")
    grid.add(images(2, 40, 60), {"first": {"shade": torch.tensor([10, 20])}, "second": {"shade": torch.tensor([30, 40])}})
    grid.add(images(1, 40, 60), {"first": {"shade": torch.tensor([50])}, "second": {"shade": torch.tensor([60])}})
    grid.save(tmp_path / "pictures" / "grid.png")
    with Image.open(tmp_path / "pictures" / "grid.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (6 + 2 * (30 + 40 + 6), 6 + 3 * (60 + 6), 3)
    shades = [[int(pixels[6 + row * 76 + 30 + 20, 6 + column * 66 + 30, 0]) for column in range(3)] for row in range(2)]
    assert shades == [[10, 20, 50], [30, 40, 60]]


def test_large_images_are_made_smaller_and_keep_their_proportions(tmp_path: Path) -> None:
    grid = grid_of("only")
    grid.add(images(1, 400, 800), {"only": {"shade": torch.tensor([9])}})
    grid.save(tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (6 + 384 + 6, 6 + 30 + 192 + 6)


def test_no_more_than_the_first_images_are_drawn() -> None:
    grid = grid_of("only")
    for _ in range(3):
        grid.add(images(5, 8, 8), {"only": {"shade": torch.arange(5)}})
    assert len(grid._rows["only"]) == COLUMNS


def test_a_grid_without_images_says_so() -> None:
    assert grid_of("only").empty
    assert grid_of().empty
