"""Datasets without dataset.json: folders of images, and what all layouts share."""

from pathlib import Path

import pytest

from headrace_api.errors import FatalError
from headrace_testing.dataset_folder import DatasetFolder, coco
from headrace_testing.recognising import BOX, complaint_of, folder_of, layer, manifest_of, recognised, suggestion_of, yolo_folder
from headrace_trainer.data.recognise import recognise


def test_folders_are_classes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", "cat/1.jpg", "dog/1.jpg")
    assert manifest_of(folder) == {
        "images": ".",
        "layers": [layer("classes", "multiclass-classification", "image-folder", {"all": "."})],
    }
    folder = folder_of(tmp_path / "b", *(f"photos/{split}/{name}/1.jpg" for split in ("train", "val", "test") for name in "xy"))
    splits = {"train": "photos/train", "val": "photos/val"}
    assert manifest_of(folder) == {
        "images": "photos",
        "layers": [layer("classes", "multiclass-classification", "image-folder", splits)],
    }
    assert "not used: photos/test" in recognised(folder).describe()
    folder = folder_of(tmp_path / "c", *(f"{split}/{name}/1.jpg" for split in ("train", "test") for name in "xy"))
    assert manifest_of(folder)["layers"][0]["splits"] == {"all": "train"}, "the test split must not be scored on during training"


def test_good_and_anomalous_folders(tmp_path: Path) -> None:
    images = ("train/good/1.png", "test/good/1.png", "test/dent/1.png")
    splits = {"train": "train", "val": "test"}
    want = {"images": ".", "layers": [layer("anomalies", "anomaly-detection", "image-folder", splits)]}
    assert manifest_of(folder_of(tmp_path / "a", *images)) == want
    assert manifest_of(folder_of(tmp_path / "b", *images, "ground_truth/dent/1_mask.png")) == want
    alone = folder_of(tmp_path / "c", "good/1.png", "dent/1.png", "ground_truth/dent/1_mask.png")
    fields = {"masks": {"all": "ground_truth"}}
    assert manifest_of(alone)["layers"] == [layer("anomalies", "anomaly-detection", "image-folder", {"all": "."}, **fields)]


@pytest.mark.parametrize(
    "images",
    [
        ("1.jpg", "2.jpg"),
        ("a/1.jpg", "a/2.jpg"),
        ("train/1.jpg", "val/2.jpg"),
        ("1.jpg", "a/2.jpg"),
        ("train/x/1.jpg", "val/x/2.jpg"),
    ],
)
def test_images_alone_are_for_self_supervised_heads(tmp_path: Path, images: tuple[str, ...]) -> None:
    folder = folder_of(tmp_path, *images).text("readme.md", "")
    assert manifest_of(folder)["layers"] == []
    assert "not used: readme.md" in recognised(folder).describe(), "it might be unrecognised annotations"


def test_images_alone_can_be_learned_from_without_labels(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"{number}.jpg" for number in range(20)))
    dataset = folder.open({"name": "all", "autoencoding": {}})
    assert len(dataset.train) + len(dataset.val) == 20
    with pytest.raises(FatalError, match="the dataset has no layer to make heads for"):
        folder.open()


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        (("images/1.jpg", "masks/1.png"), "images, masks in .: these may be classes, or images and their maps"),
        (("train/images/1.jpg", "train/masks/1.png", "val/images/2.jpg"), "these may be classes, or images and their maps"),
        (("train/x/1.jpg", "train/y/1.jpg", "val/1.jpg"), "images are in class folders in train, but not in val"),
    ],
)
def test_folders_that_may_be_something_else_are_refused(tmp_path: Path, images: tuple[str, ...], complaint: str) -> None:
    assert complaint in complaint_of(folder_of(tmp_path, *images))


def test_several_layouts_are_ambiguous_and_all_are_named(tmp_path: Path) -> None:
    folder = yolo_folder(tmp_path, "0 .5 .5 .1 .1").json("annotations/instances_train.json", coco(["1.jpg"], [BOX]))
    folder.text("a.csv", "image,label\n").text("b.csv", "image,label\n")
    complaint = complaint_of(folder)
    for seen in ("COCO's JSON (annotations/instances_train.json)", "YOLO (data.yaml, labels/train, labels/val)", "the table b.csv"):
        assert seen in complaint
    assert "Write a dataset.json that says what to read: docs/datasets.md has examples" in complaint


def test_the_suggested_dataset_json_has_all_of_several_layouts(tmp_path: Path) -> None:
    folder = yolo_folder(tmp_path, "0 .5 .5 .1 .1").json("annotations/objects_train.json", coco(["1.jpg"], [BOX]))
    folder.image("masks/train/1.png").text("more/data.yaml", "train: train.txt\nnames: [dog]")
    suggestion = suggestion_of(folder)
    assert [(layer.name, layer.format) for layer in suggestion.layers] == [("objects", "coco"), ("objects-2", "yolo")]
    assert suggestion.images == "images", "the files in masks are not images"


def test_without_an_image_it_says_what_it_found(tmp_path: Path) -> None:
    assert "no image in the dataset: check its location; it has: readme.md" in complaint_of(
        DatasetFolder(tmp_path).text("readme.md", "")
    )
    assert "there is no such folder" in complaint_of_names(tmp_path / "gone")


def complaint_of_names(root: Path) -> str:
    with pytest.raises(FatalError) as caught:
        recognise(root, [])
    return caught.value.message


def test_hidden_files_are_ignored(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "1.jpg", "2.jpg").json(".cache/instances_train.json", coco(["1.jpg"], [BOX]))
    assert recognise(tmp_path, ["1.jpg", "2.jpg", ".cache/instances_train.json"]).manifest.layers == []
    assert manifest_of(folder)["layers"] == []


def test_a_recognised_dataset_is_opened(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"cat/{number}.jpg" for number in range(9)), *(f"dog/{number}.jpg" for number in range(9)))
    dataset = folder.open()
    assert dataset.heads[0].labels.classes == ("cat", "dog")
    assert len(dataset.train) + len(dataset.val) == 18
