"""From images to files: every head's output for every readable image."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_testing.trained_models import tiny_model, write_model
from headrace_trainer.data.targets.geometry import letterbox
from headrace_trainer.heads.base import REGISTRY
from headrace_trainer.predict.__main__ import main
from headrace_trainer.predict.run import predict

SOME = (Task.OBJECT_DETECTION, Task.SEMANTIC_SEGMENTATION, Task.MULTICLASS_CLASSIFICATION)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images of different sizes in two folders, and a broken one."""
    random = np.random.default_rng(0)
    for number, size in enumerate([(40, 60), (90, 30), (64, 96), (200, 300), (17, 21)]):
        path = tmp_path / "photos" / ("a" if number % 2 else "b") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (*size, 3), np.uint8)).save(path)
    (tmp_path / "photos/a/broken.png").write_bytes(b"no")
    return tmp_path / "photos"


def run(tasks: tuple[Task, ...], photos: Path, out: Path, *, pictures: bool = False, batch_size: int = 2) -> list[str]:
    outcome = predict(tiny_model(tasks), [photos], out, least_score=0.0, pictures=pictures, batch_size=batch_size, threads=2)
    return outcome.unreadable


def test_every_image_is_predicted_and_broken_ones_are_counted(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(SOME, photos, tmp_path / "out") == ["a/broken.png"]
    index = json.loads((tmp_path / "out/predictions.json").read_text())
    assert index["heads"] == {task.value: task.value for task in SOME}
    assert index["unreadable"] == ["a/broken.png"]
    assert [(image["file_name"], image["height"], image["width"]) for image in index["images"]] == [
        ("a/1.png", 90, 30),
        ("a/3.png", 200, 300),
        ("b/0.png", 40, 60),
        ("b/2.png", 64, 96),
        ("b/4.png", 17, 21),
    ]
    for image in index["images"]:
        with Image.open(tmp_path / "out/semantic-segmentation" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
    said = capsys.readouterr()
    assert f"skipped {photos}/a/broken.png: cannot identify image file" in said.err
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert (lines[0], lines[-1]) == ({"done": 0, "of": 6}, {"done": 6, "of": 6})


def test_the_batch_size_changes_nothing(photos: Path, tmp_path: Path) -> None:
    for size in (1, 4):
        run(SOME, photos, tmp_path / f"out-{size}", batch_size=size)
    boxes = [json.loads((tmp_path / f"out-{size}/object-detection/results.json").read_text()) for size in (1, 4)]
    assert [box["image_id"] for box in boxes[0]] == [box["image_id"] for box in boxes[1]]
    for one, other in zip(*boxes, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)


def test_the_written_results_are_the_networks_for_the_letterboxed_image(photos: Path, tmp_path: Path) -> None:
    file = photos / "a/3.png"
    model = tiny_model((Task.MULTICLASS_CLASSIFICATION,))
    predict(model, [file], tmp_path / "out", least_score=0, pictures=False, batch_size=1, threads=1)
    with Image.open(file) as image:
        pixels = letterbox((200, 300), model.image_size).place_image(image)
    found = model.predict(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])["multiclass-classification"]
    row = (tmp_path / "out/multiclass-classification/predictions.csv").read_text().splitlines()[1].split(",")
    assert [float(number) for number in row[2:]] == pytest.approx(found["probabilities"][0].tolist(), rel=1e-4)


def test_every_head_draws_into_a_picture_of_the_image(photos: Path, tmp_path: Path) -> None:
    run(tuple(sorted(REGISTRY)), photos / "a", tmp_path / "out", pictures=True)
    for task in REGISTRY:
        with Image.open(tmp_path / f"out/pictures/{task.value}/1.jpg") as picture:
            assert picture.width * 3 == picture.height, task
            assert max(picture.size) >= 384, task


def test_a_folder_that_is_not_empty_is_left_alone(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(FatalError, match="out is not empty: choose another folder with --out, or remove it") as caught:
        run(SOME, photos, tmp_path / "out")
    assert caught.value.reason is Reason.INVALID_SPEC
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["images", "nowhere", "x.jpg", "--out", "out"], 2, "error: nowhere is not a model: there is no such folder"),
        (["images", "model", "--out", "out", "a.png"], 2, "error: a.png: there is no such file or folder"),
    ],
)
def test_an_error_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    write_model(tmp_path, SOME)
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == status
    assert capsys.readouterr().err.startswith(said)


def test_a_crash_is_not_a_partial_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("headrace_trainer.predict.model.load_model", broken)
    assert main(["images", str(tmp_path), "x.jpg", "--out", str(tmp_path / "out")]) == 2
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err
