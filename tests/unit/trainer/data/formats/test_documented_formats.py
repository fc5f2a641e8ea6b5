"""The examples in docs/datasets.md are read as their sections say."""

import re
from pathlib import Path

import numpy as np
import pytest

from headrace_api.dataset import FORMATS
from headrace_testing.dataset_folder import HEIGHT, WIDTH, DatasetFolder
from headrace_trainer.data.dataset import Dataset

PAGE = (Path(__file__).parents[5] / "docs/datasets.md").read_text()
MASK = np.ones((HEIGHT, WIDTH), np.uint8)


def section(title: str) -> str:
    """The part of the page below a format's heading."""
    found = re.search(rf"^### [^\n]*`{title}`.*?(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found.group(0)


def example(format_: str) -> str:
    """The text of its first code block."""
    found = re.search(r"```\w*\n(.*?)```", section(format_), re.DOTALL)
    assert found is not None
    return found.group(1)


def opened(root: Path, format_: str, task: str, files: dict[str, str], splits: str, **fields: object) -> Dataset:
    folder = DatasetFolder(root).image("images/a.jpg").image("images/b.jpg").image("images/c.jpg")
    for name, content in files.items():
        folder.text(name, content)
    return folder.layer("layer", task, format_, {"all": splits}, **fields).open()


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_has_a_section_that_names_its_tasks(format_: str) -> None:
    text = section(format_)
    for task in FORMATS[format_]:
        assert task.value in text


def annotation_of(dataset: Dataset, image: str) -> object:
    name = f"images/{image}"
    return (dataset.train.annotations["layer"] | dataset.val.annotations["layer"])[name]


def two(content: str) -> dict[str, str]:
    return {"x/a.txt": content, "x/b.txt": ""}


def test_coco(tmp_path: Path) -> None:
    second = '"images": [{"id": 8, "file_name": "b.jpg", "height": 480, "width": 640}, '
    content = example("coco").replace('"images": [', second)
    for task in FORMATS["coco"]:
        annotation = annotation_of(opened(tmp_path / task, "coco", task, {"x.json": content}, "x.json"), "a.jpg")
        assert getattr(annotation, "objects", 0) == 1, task


@pytest.mark.parametrize(
    ("line", "task", "fields"),
    [
        (0, "object-detection", {}),
        (1, "instance-segmentation", {}),
        (2, "keypoint-detection", {"keypoints": ["left", "right"]}),
        (3, "quadrilateral-detection", {}),
    ],
)
def test_yolo(tmp_path: Path, line: int, task: str, fields: dict[str, object]) -> None:
    numbers = re.match(r"[\d. ]+", example("yolo").splitlines()[line])
    assert numbers is not None
    annotation = annotation_of(opened(tmp_path, "yolo", task, two(numbers.group(0)), "x", classes=["cat"], **fields), "a.jpg")
    assert getattr(annotation, "objects", 0) == 1


def test_voc(tmp_path: Path) -> None:
    files = {"x/a.xml": example("voc"), "x/b.xml": "<annotation/>"}
    annotation = annotation_of(opened(tmp_path, "voc", "object-detection", files, "x"), "a.jpg")
    np.testing.assert_array_equal(getattr(annotation, "boxes", None), [[10, 20, 40, 60]])


def test_icdar(tmp_path: Path) -> None:
    files = {"x/gt_a.txt": example("icdar"), "x/gt_b.txt": ""}
    annotation = annotation_of(opened(tmp_path, "icdar", "quadrilateral-detection", files, "x"), "a.jpg")
    assert getattr(annotation, "crowd", np.zeros(0)).tolist() == [False, False, True]


def test_csv(tmp_path: Path) -> None:
    dataset = opened(tmp_path, "csv", "regression", {"x.csv": example("csv")}, "x.csv")
    assert dataset.heads[0].labels.values == ("angle", "count")
    assert (len(dataset.train), len(dataset.val)) == (2, 1)


@pytest.mark.parametrize("format_", ["mask-png", "depth"])
def test_maps(tmp_path: Path, format_: str) -> None:
    folder = DatasetFolder(tmp_path)
    for split in ("train", "val"):
        folder.image(f"images/{split}.jpg").image(f"{'masks' if format_ == 'mask-png' else format_}/{split}/{split}.png", MASK)
    dataset = folder.text("dataset.json", f'{{"version": 1, "layers": [{example(format_)}]}}').open()
    assert (len(dataset.train), len(dataset.val)) == (1, 1)


def test_image_folder(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path)
    for name in example("image-folder").split():
        folder.image(name, MASK)
    dataset = folder.open()
    assert [annotation.objects for annotation in dataset.val.annotations["anomalies"].values()] in ([0, 1], [1, 0])


def test_the_manifest_at_the_top(tmp_path: Path) -> None:
    content = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert content is not None
    folder = DatasetFolder(tmp_path).text("config.yaml", "names: [cat]").text("dataset.json", content.group(1))
    for split in ("train", "val"):
        folder.image(f"images/{split}.jpg").text(f"labels/{split}2017/{split}.txt", "").image(f"masks/{split}/{split}.png", MASK)
    assert len(folder.open().heads) == 2
