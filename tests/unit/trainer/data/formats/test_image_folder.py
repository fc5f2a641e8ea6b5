"""Folders of identities, and MVTec AD's folders of good and defective images. Folders of classes: test_masks.py."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_api.errors import FatalError
from headrace_testing.dataset_folder import HEIGHT, WIDTH, DatasetFolder
from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.targets import Anomaly, Identity, Label
from headrace_trainer.data.targets.geometry import letterbox

SIZE = (HEIGHT, WIDTH)
SPLITS = {"train": "images/train", "val": "images/test"}


def test_folders_are_identities(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path)
    for name in ("train/anna/1", "train/bob/1", "test/carl/1", "test/anna/2"):
        folder.image(f"images/{name}.jpg")
    dataset = folder.layer("people", "metric-learning", "image-folder", SPLITS).open()
    assert dataset.heads[0].labels.classes == ("anna", "bob", "carl")
    labels = {image: one.render(letterbox(SIZE, SIZE)) for image, one in dataset.val.annotations["people"].items()}
    assert labels == {"images/test/carl/1.jpg": Identity(2), "images/test/anna/2.jpg": Identity(0)}


def grades(root: Path, *names: str, **fields: Any) -> DatasetFolder:
    folder = DatasetFolder(root)
    for name in names:
        folder.image(f"images/train/{name}/1.jpg").image(f"images/test/{name}/2.jpg")
    return folder.layer("grades", "multiclass-classification", "image-folder", SPLITS, **fields)


ORDINAL: dict[str, Any] = {"name": "grade", "annotations": "grades", "multiclassClassification": {"ordinal": True}}


def test_folders_that_are_whole_numbers_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    folder = grades(tmp_path, "10", "2", "1", "-3")
    dataset = folder.open(ORDINAL)
    assert dataset.heads[0].labels.classes == ("-3", "1", "2", "10")
    labels = {image: one.render(letterbox(SIZE, SIZE)) for image, one in dataset.val.annotations["grades"].items()}
    assert labels["images/test/10/2.jpg"] == Label(3)
    assert folder.said == []


def test_a_scale_in_alphabetical_order_gets_a_warning(tmp_path: Path) -> None:
    folder = grades(tmp_path, "low", "middle", "high")
    folder.open(ORDINAL)
    assert folder.said == [
        "WARNING: head 'grade' is ordinal, but layer 'grades' has no 'classes' in dataset.json, so its steps are in alphabetical "
        "order (high, low, middle); list the layer's 'classes' in the order of the scale"
    ]


def test_a_scale_whose_order_is_given_or_does_not_matter_gets_no_warning(tmp_path: Path) -> None:
    given = grades(tmp_path / "given", "low", "middle", "high", classes=["low", "middle", "high"])
    assert given.open(ORDINAL).heads[0].labels.classes == ("low", "middle", "high")
    assert given.said == []
    nominal = grades(tmp_path / "nominal", "low", "middle", "high")
    nominal.open(ORDINAL | {"multiclassClassification": {}})
    assert nominal.said == []


def mvtec(root: Path, mask: np.ndarray | None = None, **fields: Any) -> DatasetFolder:
    folder = DatasetFolder(root)
    for name in ("train/good/000", "train/good/001", "test/good/000", "test/scratch/000", "test/scratch/001"):
        folder.image(f"images/{name}.png")
    marked = np.zeros(SIZE, np.uint8)
    marked[:10] = 255
    folder.image("images/ground_truth/scratch/000_mask.png", marked if mask is None else mask)
    return folder.layer("anomalies", "anomaly-detection", "image-folder", SPLITS, **fields)


def rendered(folder: DatasetFolder, image: str) -> Anomaly:
    target = folder.open().val.annotations["anomalies"][f"images/test/{image}.png"].render(letterbox(SIZE, SIZE))
    assert isinstance(target, Anomaly)
    return target


def test_what_is_not_good_is_anomalous_and_may_have_a_mask(tmp_path: Path) -> None:
    folder = mvtec(tmp_path)
    good, marked, unmarked = (rendered(folder, name) for name in ("good/000", "scratch/000", "scratch/001"))
    assert (good.anomalous, good.has_mask, good.mask.any()) == (False, True, False)
    assert (marked.anomalous, marked.has_mask, marked.mask.sum()) == (True, True, 10 * WIDTH)
    assert (unmarked.anomalous, unmarked.has_mask) == (True, False)
    assert "1 anomalous images without a mask" in folder.open().describe()


def test_masks_may_be_elsewhere(tmp_path: Path) -> None:
    folder = mvtec(tmp_path, masks={"val": "where"}).image("where/scratch/001.png", np.ones(SIZE, np.uint8))
    assert rendered(folder, "scratch/001").mask.all()
    assert not rendered(folder, "scratch/000").has_mask
    with pytest.raises(FatalError, match=r"layer 'anomalies': masks\.val: expected a folder at 'gone', found none"):
        mvtec(tmp_path / "gone", masks={"val": "gone"}).open()


def test_masks_are_not_images(tmp_path: Path) -> None:
    dataset = mvtec(tmp_path).open({"name": "all", "autoencoding": {}})
    assert not any("ground_truth" in image for image in (*dataset.train.images, *dataset.val.images))


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    folder = mvtec(tmp_path, np.ones((5, 5), np.uint8))
    with pytest.raises(BadSampleError, match=r"ground_truth/scratch/000_mask\.png is for 5 x 5 pixels, but the image has 60 x 40"):
        rendered(folder, "scratch/000")


def test_anomalous_images_to_train_on_are_left_out_and_counted(tmp_path: Path) -> None:
    dataset = mvtec(tmp_path).image("images/train/dent/1.png").open()
    assert len(dataset.train) == 2
    assert "1 anomalous images left out of the train split: heads learn what is normal" in dataset.describe()


def test_without_a_folder_of_normal_images_it_is_refused(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path).image("images/train/a/1.png").image("images/test/b/1.png")
    with pytest.raises(FatalError, match=r"expected a folder 'good' \(or normal, ok\) of normal images; found: a, b"):
        folder.layer("anomalies", "anomaly-detection", "image-folder", SPLITS).open()


def test_folders_without_images_are_not_classes(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path).image("images/train/a/1.png").image("images/test/a/2.png").text("images/train/notes/x.md", "")
    assert folder.layer("kinds", "multiclass-classification", "image-folder", SPLITS).open().heads[0].labels.classes == ("a",)
    bare = DatasetFolder(tmp_path / "bare").image("images/other.png").text("images/train/a/x.md", "").text("images/test/a/x.md", "")
    with pytest.raises(FatalError, match="expected a folder of images for each class; 'images/train' has: a/"):
        bare.layer("kinds", "multiclass-classification", "image-folder", SPLITS).open()
