from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from headrace_api.tasks import Task
from headrace_testing.head_cases import make_features, make_head, make_targets
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.heads.base import REGISTRY, Head
from headrace_trainer.heads.truth import known_or
from headrace_trainer.ops.drawing import Canvas
from headrace_trainer.worker.pictures import COLUMNS, PredictionGrid


class Painter:
    """Stands in for a head: fills images with the colour that it predicts for them."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def truth(self, targets: Mapping[str, Tensor], predictions: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
        """For class maps, the truth with predictions where it is unknown; shades have no truth."""
        if self.task is not Task.SEMANTIC_SEGMENTATION:
            return None
        return {"map": known_or(predictions["map"], targets["map"], targets["map"] >= 0)}

    def draw(self, image: np.ndarray, predictions: Mapping[str, Tensor], index: int) -> np.ndarray:
        """Uses a class map's first pixel, or a number."""
        shade = predictions["map"][index][0, 0] if self.task is Task.SEMANTIC_SEGMENTATION else predictions["shade"][index]
        return np.full_like(image, int(shade))


def grid_of(*names: str, task: Task = Task.VIEW_INVARIANCE) -> PredictionGrid:
    """By default, its heads have no truth to draw."""
    return PredictionGrid({name: cast(Head, Painter(task)) for name in names})


def batch_of(
    heads: tuple[str, ...],
    count: int,
    height: int,
    width: int,
    targets: Mapping[str, Tensor] | None = None,
    labelled: list[bool] | None = None,
) -> Batch:
    images = torch.full((count, 3, height, width), 7, dtype=torch.uint8)
    flags = {name: torch.tensor([True] * count if labelled is None else labelled) for name in heads}
    return Batch(images, dict.fromkeys(heads, targets or {}), flags, [""] * count)


def test_rows_are_heads_and_columns_are_images(tmp_path: Path) -> None:
    names = ("first", "second")
    grid = grid_of(*names)
    shades = {"first": {"shade": torch.tensor([10, 20])}, "second": {"shade": torch.tensor([30, 40])}}
    grid.add(batch_of(names, 2, 40, 60), shades)
    grid.add(batch_of(names, 1, 40, 60), {"first": {"shade": torch.tensor([50])}, "second": {"shade": torch.tensor([60])}})
    grid.save(tmp_path / "pictures" / "grid.png")
    with Image.open(tmp_path / "pictures" / "grid.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (6 + 2 * (30 + 40 + 6), 6 + 3 * (60 + 6), 3)
    found = [[int(pixels[6 + row * 76 + 30 + 20, 6 + column * 66 + 30, 0]) for column in range(3)] for row in range(2)]
    assert found == [[10, 20, 50], [30, 40, 60]]


def test_the_truth_is_below_the_predictions_for_labelled_images(tmp_path: Path) -> None:
    grid = grid_of("regions", task=Task.SEMANTIC_SEGMENTATION)
    truth = {"map": torch.full((4, 384, 384), 40) + torch.arange(4)[:, None, None]}
    truth["map"][2] = -1  # unknown: drawn as predicted
    predicted = {"regions": {"map": torch.full((4, 384, 384), 90) + torch.arange(4)[:, None, None]}}
    grid.add(batch_of(("regions",), 4, 384, 384, truth, [True, False, True, True]), predicted)
    grid.save(tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (6 + 2 * (30 + 384 + 6), 6 + 3 * (384 + 6), 3)
    found = [[int(pixels[6 + row * 420 + 200, 6 + column * 390 + 30, 0]) for column in range(3)] for row in range(2)]
    assert found == [[90, 92, 93], [40, 92, 43]]


def test_a_head_without_a_labelled_image_is_shown_on_the_first_ones(tmp_path: Path) -> None:
    grid = grid_of("labelled", "not")
    for shade in (10, 20):
        batch = batch_of(("labelled", "not"), 2, 40, 60)
        batch.labelled["not"][:] = False
        shades = {"shade": torch.tensor([shade, shade + 1])}
        grid.add(batch, {"labelled": shades, "not": shades})
    rows = {title: [cell.getpixel((5, 5)) for cell in row] for title, row in grid._rows().items()}
    assert [[shade for shade, *_ in row] for row in rows.values()] == [[10, 11, 20, 21], [10, 11]]


def test_large_images_are_scaled_down_in_proportion(tmp_path: Path) -> None:
    grid = grid_of("only")
    grid.add(batch_of(("only",), 1, 400, 800), {"only": {"shade": torch.tensor([9])}})
    grid.save(tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (6 + 384 + 6, 6 + 30 + 192 + 6)


def test_only_the_first_images_are_drawn() -> None:
    grid = grid_of("only")
    for _ in range(3):
        grid.add(batch_of(("only",), 5, 8, 8), {"only": {"shade": torch.arange(5)}})
    assert [len(row) for row in grid._rows().values()] == [COLUMNS]


def test_a_grid_without_images_says_so() -> None:
    assert grid_of("only").empty
    assert grid_of().empty


@pytest.mark.parametrize("task", sorted(REGISTRY), ids=lambda task: task.value)
def test_a_head_draws_the_truth_like_its_predictions(task: Task) -> None:
    size = (64, 96)
    head = make_head(task).eval()
    with torch.no_grad():
        predictions = head.decode(head(make_features(2, size)), size)
    targets = make_targets(task, 2, size)
    truth = head.truth(targets, predictions)
    if truth is None:
        assert task in {Task.METRIC_LEARNING, Task.AUTOENCODING, Task.VIEW_INVARIANCE}
        return
    assert truth.keys() == predictions.keys(), "all that the head may draw"
    image = np.full((*size, 3), 127, np.uint8)
    assert head.draw(image, truth, 1).shape == head.draw(image, predictions, 1).shape
    for key, value in targets.items():
        assert torch.equal(value, make_targets(task, 2, size)[key]), "targets must not change"


def test_a_true_class_is_drawn_without_rivals(monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []
    monkeypatch.setattr(Canvas, "caption", lambda _, text, number=None: captions.append(text))
    head, image = make_head(Task.MULTICLASS_CLASSIFICATION), np.zeros((64, 96, 3), np.uint8)
    targets = {"label": torch.tensor([2])}
    truth = head.truth(targets, {})
    assert truth is not None
    head.draw(image, truth, 0)
    assert captions == [head.classes[2]]


def test_an_unknown_value_is_drawn_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []
    monkeypatch.setattr(Canvas, "caption", lambda _, text, number=None: captions.append(text))
    head, targets = make_head(Task.REGRESSION), make_targets(Task.REGRESSION, 1, (64, 96))
    targets["known"][0, 0] = False
    truth = head.truth(targets, {})
    assert truth is not None
    head.draw(np.zeros((64, 96, 3), np.uint8), truth, 0)
    assert captions[0] == f"{head.labels.values[0]} unknown"
