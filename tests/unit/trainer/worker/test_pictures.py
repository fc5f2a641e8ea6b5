import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from headrace_api import runfolder
from headrace_api.run import PictureRecord
from headrace_api.tasks import Task
from headrace_testing.head_cases import make_features, make_head, make_targets
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.data.targets import IGNORE
from headrace_trainer.heads.base import REGISTRY, Head
from headrace_trainer.ops.drawing import Canvas
from headrace_trainer.worker.pictures import Pictures, are_drawn
from headrace_trainer.worker.showcase import Showcase, picture_file


class Painter:
    """Stands in for a head: fills images with the colour that it predicts for them."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def truth(self, targets: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
        """Class maps have a truth; shades have none."""
        return {"map": targets["map"]} if self.task is Task.SEMANTIC_SEGMENTATION else None

    def draw(self, image: np.ndarray, predictions: Mapping[str, Tensor], index: int) -> np.ndarray:
        """Uses a class map's first pixel, or a number."""
        shade = predictions["map"][index][0, 0] if self.task is Task.SEMANTIC_SEGMENTATION else predictions["shade"][index]
        return np.full_like(image, int(shade))


def pictures_of(output: Path, task: Task = Task.VIEW_INVARIANCE, labelled: bool = True, **images: list[str]) -> "Drawing":
    """Draws these images for each head. By default, its heads have no truth to draw."""
    showcase = Showcase({name: tuple(shown) for name, shown in images.items()}, frozenset(images if labelled else ()))
    return Drawing(Pictures(showcase, output), {name: cast(Head, Painter(task)) for name in images}, output)


@dataclass
class Drawing:
    """Pictures, and the heads that draw them."""

    pictures: Pictures
    heads: dict[str, Head]
    output: Path

    def add(self, batch: Batch, predictions: Mapping[str, Mapping[str, Tensor]], iteration: int = 5) -> list[PictureRecord]:
        return self.pictures.draw(iteration, self.heads, batch, predictions)

    def files(self) -> list[str]:
        return sorted(path.relative_to(self.output).as_posix() for path in self.output.rglob("*") if path.is_file())

    def shade(self, key: str) -> int:
        """What a picture is filled with."""
        with Image.open(self.output / key) as picture:
            assert picture.format == "JPEG"
            return int(np.asarray(picture)[picture.height // 2, picture.width // 2, 0])


def batch_of(
    heads: Iterable[str],
    names: list[str],
    size: tuple[int, int] = (40, 60),
    targets: Mapping[str, Tensor] | None = None,
    labelled: list[bool] | None = None,
) -> Batch:
    count = len(names)
    images = torch.full((count, 3, *size), 7, dtype=torch.uint8)
    flags = {name: torch.tensor([True] * count if labelled is None else labelled) for name in heads}
    return Batch(images, dict.fromkeys(heads, targets or {}), flags, names)


def test_each_head_draws_its_own_images_from_whatever_batch_they_are_in(tmp_path: Path) -> None:
    drawing = pictures_of(tmp_path, first=["c", "a"], second=["b"])
    names = ("first", "second")
    shades = {"first": {"shade": torch.tensor([10, 20])}, "second": {"shade": torch.tensor([110, 120])}}
    drawn = drawing.add(batch_of(names, ["a", "b"]), shades)
    drawn += drawing.add(batch_of(names, ["c", "d"]), {name: {"shade": torch.tensor([30, 40])} for name in names})
    expected = (("first", "c"), ("first", "a"), ("second", "b"))
    assert drawing.pictures.in_order(drawn) == [
        PictureRecord(head=head, image=image, file=picture_file(image)) for head, image in expected
    ]
    keys = [runfolder.picture(5, picture.head, picture.file) for picture in drawing.pictures.in_order(drawn)]
    assert drawing.files() == sorted(keys), "and nothing else"
    assert [drawing.shade(key) for key in keys] == [30, 10, 120]


def test_the_labels_are_drawn_once_and_the_predictions_at_every_evaluation(tmp_path: Path) -> None:
    drawing = pictures_of(tmp_path, Task.SEMANTIC_SEGMENTATION, regions=["a", "b"])
    truth = {"map": torch.full((2, 384, 384), 40) + 10 * torch.arange(2)[:, None, None]}
    for iteration, shade in ((1, 90), (2, 150)):
        predicted = {"regions": {"map": torch.full((2, 384, 384), shade)}}
        drawn = drawing.add(batch_of(["regions"], ["a", "b"], (384, 384), truth), predicted, iteration)
        assert all(picture.truth for picture in drawn)
        assert [drawing.shade(runfolder.picture(iteration, "regions", picture_file(image))) for image in "ab"] == [shade, shade]
        truth = {"map": torch.full((2, 384, 384), 200)}
    assert [drawing.shade(runfolder.truth_picture("regions", picture_file(image))) for image in "ab"] == [40, 50]


def test_an_image_that_turns_out_to_have_no_usable_label_is_left_out(tmp_path: Path) -> None:
    drawing = pictures_of(tmp_path, only=["a", "b"])
    drawn = drawing.add(batch_of(["only"], ["a", "b"], labelled=[False, True]), {"only": {"shade": torch.tensor([1, 2])}})
    assert [picture.image for picture in drawn] == ["b"]


def test_a_head_without_labels_is_drawn_without_them(tmp_path: Path) -> None:
    drawing = pictures_of(tmp_path, Task.SEMANTIC_SEGMENTATION, labelled=False, regions=["a"])
    maps = torch.full((1, 384, 384), 40)
    (drawn,) = drawing.add(batch_of(["regions"], ["a"], (384, 384), {"map": maps}, [False]), {"regions": {"map": maps}})
    assert not drawn.truth
    assert drawing.files() == [runfolder.picture(5, "regions", picture_file("a"))]


def test_large_images_are_scaled_down_in_proportion(tmp_path: Path) -> None:
    drawing = pictures_of(tmp_path, only=["a"])
    drawing.add(batch_of(["only"], ["a"], (400, 800)), {"only": {"shade": torch.tensor([9])}})
    with Image.open(tmp_path / drawing.files()[0]) as picture:
        assert picture.size == (384, 192)


def test_an_image_whose_path_is_no_text_is_drawn_like_any_other(tmp_path: Path) -> None:
    drawing = pictures_of(tmp_path, only=["caf\udce9.png"])
    (drawn,) = drawing.add(batch_of(["only"], ["caf\udce9.png"]), {"only": {"shade": torch.tensor([9])}})
    assert PictureRecord.model_validate_json(drawn.model_dump_json()) == drawn
    assert drawing.files() == [runfolder.picture(5, "only", drawn.file)]


def test_a_long_run_draws_ever_more_rarely() -> None:
    drawn = [evaluation for evaluation in range(1, 1001) if are_drawn(evaluation)]
    assert drawn[:34] == [*range(1, 33), 34, 36]
    assert len(drawn) < 120
    assert max(later - earlier for earlier, later in itertools.pairwise(drawn)) == 32


def test_without_images_there_is_no_picture(tmp_path: Path) -> None:
    drawing = pictures_of(tmp_path, only=[])
    assert drawing.add(batch_of(["only"], ["a"]), {"only": {"shade": torch.tensor([9])}}) == []
    assert drawing.files() == []


@pytest.mark.parametrize("task", sorted(REGISTRY), ids=lambda task: task.value)
def test_a_head_draws_the_truth_like_its_predictions(task: Task) -> None:
    size = (64, 96)
    head = make_head(task).eval()
    with torch.no_grad():
        predictions = head.decode(head(make_features(2, size)), size)
    targets = make_targets(task, 2, size)
    truth = head.truth(targets)
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
    truth = head.truth(targets)
    assert truth is not None
    head.draw(image, truth, 0)
    assert captions == [head.classes[2]]


def test_an_unknown_value_is_drawn_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []
    monkeypatch.setattr(Canvas, "caption", lambda _, text, number=None: captions.append(text))
    head, targets = make_head(Task.REGRESSION), make_targets(Task.REGRESSION, 1, (64, 96))
    targets["known"][0, 0] = False
    truth = head.truth(targets)
    assert truth is not None
    head.draw(np.zeros((64, 96, 3), np.uint8), truth, 0)
    assert captions[0] == f"{head.labels.values[0]} unknown"


@pytest.mark.parametrize(
    ("task", "unknown"),
    [
        (Task.SEMANTIC_SEGMENTATION, {"map": torch.full((1, 384, 384), IGNORE)}),
        (Task.DEPTH_ESTIMATION, {"depth": torch.ones(1, 384, 384), "known": torch.zeros(1, 384, 384, dtype=torch.bool)}),
    ],
)
def test_where_the_truth_is_unknown_the_image_is_left_as_it_is(task: Task, unknown: dict[str, Tensor]) -> None:
    head, image = make_head(task), np.full((384, 384, 3), 127, np.uint8)
    truth = head.truth(unknown)
    assert truth is not None
    assert np.array_equal(head.draw(image, truth, 0), image)


def test_an_anomaly_whose_place_is_unknown_is_only_named() -> None:
    head, image = make_head(Task.ANOMALY_DETECTION), np.full((384, 384, 3), 127, np.uint8)
    mask = torch.zeros(1, 384, 384, dtype=torch.bool)
    truth = head.truth({"anomalous": torch.tensor([True]), "mask": mask, "has_mask": torch.tensor([False])})
    assert truth is not None
    drawn = head.draw(image, truth, 0)
    assert np.array_equal(drawn[192:], image[192:])
    assert not np.array_equal(drawn, image), "its score is written on it"
