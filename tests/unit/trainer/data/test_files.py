"""Which image an annotation refers to."""

from pathlib import Path

import numpy as np
import pytest

from headrace_testing.dataset_folder import HEIGHT, WIDTH, DatasetFolder, coco
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.problems import BadSampleError

HINTS = ("train",)


def files_with(root: Path, *names: str) -> DatasetFiles:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return DatasetFiles(root, "images")


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        pytest.param("7.png", "images/a/7.png", id="no folder named"),
        pytest.param("a/7", "images/a/7.png", id="the same folder"),
        pytest.param("video/a/7.png", "images/a/7.png", id="more folders named"),
        pytest.param("a/7.png", "images/video/a/7.png", id="fewer folders named"),
        pytest.param("a/frames/7.png", "images/a/7.png", id="within the folder"),
        pytest.param("a/7.png", "images/a/frames/7.png", id="folder within it"),
        pytest.param("train2017/7.png", "images/train/7.png", id="the split's folder"),
        pytest.param("x/7.png", "images/data-train/7.png", id="a folder named after the split"),
        pytest.param("a/7.png", "images/7.png", id="no folder there"),
        pytest.param("masks/a/7.png", "images/a/7.png", id="the annotation's folder too, same folder"),
        pytest.param("masks/7.png", "images/a/7.png", id="the annotation's folder only"),
    ],
)
def test_a_reference_finds_its_image(tmp_path: Path, reference: str, image: str) -> None:
    assert files_with(tmp_path, image).image_for(reference, "here", HINTS, "masks") == image


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        pytest.param("a/7.png", "images/b/7.png", id="another folder"),
        pytest.param("a/frames/7.png", "images/b/frames/7.png", id="another folder further up"),
        pytest.param("train/a/7.png", "images/train/b/7.png", id="another folder of the split"),
        pytest.param("masks/a/7.png", "images/b/7.png", id="the annotation's folder too, another folder"),
    ],
)
def test_an_image_with_that_name_in_another_folder_is_another_image(tmp_path: Path, reference: str, image: str) -> None:
    with pytest.raises(BadSampleError, match=rf"no image '{reference}' in 'images': '{image}' matches, but is in another folder"):
        files_with(tmp_path, image).image_for(reference, "here", HINTS, "masks")


def test_annotations_of_a_missing_folder_do_not_take_another_folders_images(tmp_path: Path) -> None:
    """Videos whose frames have the same names, and one video was not copied."""
    folder = DatasetFolder(tmp_path).image("images/b/0.png").image("images/b/1.png").image("images/val/v.png")
    a_box = {"bbox": [5, 5, 10, 10], "category_id": 1}
    frames = ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    folder.json("train.json", coco(frames, [{**a_box, "image_id": 1}, {**a_box, "image_id": 2}, {**a_box, "image_id": 3}]))
    folder.json("val.json", coco(["val/v.png"]))
    dataset = folder.layer("things", "object-detection", "coco", {"train": "train.json", "val": "val.json"}).open(max_bad_images=2)
    objects = {image: annotation.objects for image, annotation in dataset.train.annotations["things"].items()}
    assert objects == {"images/b/0.png": 1, "images/b/1.png": 0}
    assert any("no image 'a/0.png'" in line for line in folder.said), folder.said


@pytest.mark.parametrize(("task", "form"), [("semantic-segmentation", "mask-png"), ("depth-estimation", "depth")])
def test_a_map_without_an_image_of_its_name_is_not_taken_for_the_image(tmp_path: Path, task: str, form: str) -> None:
    folder = DatasetFolder(tmp_path).image("images/a.png").image("images/v.png")
    for name in ("train/a.png", "train/b_map.png", "val/v.png"):
        folder.image(f"maps/{name}", np.ones((HEIGHT, WIDTH), np.uint8))
    classes = {"classes": {"1": "sky"}} if form == "mask-png" else {}
    folder.layer("maps", task, form, {"train": "maps/train", "val": "maps/val"}, **classes)
    assert folder.open(max_bad_images=1).train.images == ("images/a.png",)
    assert any("maps/train/b_map.png: no image" in line for line in folder.said), folder.said
