"""What is suggested for masks or depth maps next to images."""

from pathlib import Path

import numpy as np
import pytest

from headrace_api.dataset import Manifest
from headrace_api.tasks import Task
from headrace_testing.dataset_folder import DatasetFolder
from headrace_testing.recognising import complaint_of, folder_of, layer, recognised, suggestion_of
from headrace_trainer.check.dataset import check_dataset
from headrace_trainer.check.report import Report
from headrace_trainer.data.recognise.listing import UnclearError

MASK = np.array([[0, 0], [2, 255]], np.uint8)


def checked(folder: DatasetFolder) -> Report:
    return check_dataset(folder.root, "dataset", True)


def test_a_check_suggests_reading_masks_next_to_images(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path)
    for number in range(20):
        folder.image(f"images/{number}.jpg", np.zeros((2, 2, 3), np.uint8)).image(f"masks/{number}.png", MASK)
    report = checked(folder)
    assert report.suggested
    assert report.manifest == Manifest.model_validate(
        {
            "version": 1,
            "images": "images",
            "layers": [
                layer(
                    *("masks", "semantic-segmentation", "mask-png"),
                    {"all": "masks"},
                    classes={0: "value 0 (edit)", 2: "value 2 (edit)", 255: "value 255 (edit)"},
                )
            ],
        }
    )
    assert report.layers[0].classes["value 255 (edit)"]["train"] > 0, "it can be read as it is"
    assert report.notes == [
        "layer 'masks': its class names are placeholders for pixel values: edit them, or set `ignore` to the value that is not "
        "a class"
    ]
    (problem,) = report.problems
    assert problem.endswith("To train, edit the one suggested here to say what to read; docs/datasets.md has examples")
    assert "headrace dataset check" not in report.to_text()
    assert "headrace dataset check" in complaint_of(folder), "when a job ends, the message must name the command that helps"


@pytest.mark.parametrize(
    ("masks", "splits"),
    [
        ("masks/{split}/{name}.png", {"train": "masks/train", "val": "masks/val"}),
        ("{split}/masks/{name}.png", {"train": "train/masks", "val": "val/masks"}),
        ("Labels/{split}/deep/{name}.png", {"train": "Labels/train", "val": "Labels/val"}),
    ],
)
def test_masks_are_suggested_by_split_where_their_folders_are(tmp_path: Path, masks: str, splits: dict[str, str]) -> None:
    folder = DatasetFolder(tmp_path)
    for split in ("train", "val"):
        image = masks.format(split=split, name="1").replace("masks", "images").replace("Labels", "images")
        folder.image(image, np.zeros((2, 2, 3), np.uint8)).image(masks.format(split=split, name="1"), MASK)
    (suggested,) = suggestion_of(folder).layers
    assert suggested.splits == splits
    report = checked(folder)
    assert len(report.problems) == 1, "the only problem is the missing dataset.json"
    assert {split: found.images for split, found in report.layers[0].splits.items()} == {"train": 1, "val": 1}


def test_masks_that_cannot_be_opened_have_placeholders_and_depth_has_no_classes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.png").text("masks/1.png", "no image").image("depth/1.png", mode="L")
    depth, masks = suggestion_of(folder).layers
    assert (depth.task, depth.format, depth.splits) == (Task.DEPTH_ESTIMATION, "depth", {"all": "depth"})
    assert masks.classes == {0: "value 0 (edit)", 1: "value 1 (edit)"}


def test_the_check_says_that_coloured_masks_are_not_masks_yet(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.jpg", "masks/1.png")
    assert any("masks/1.png, for example, has 3" in note and "one channel of class ids" in note for note in checked(folder).notes)


@pytest.mark.parametrize("mask", ["masks/2.png", "masks/1.jpg", "masks/1_mask.png"])
def test_nothing_is_suggested_if_maps_belong_to_no_image(tmp_path: Path, mask: str) -> None:
    folder = folder_of(tmp_path, "images/1.jpg", mask)
    with pytest.raises(UnclearError) as caught:
        recognised(folder)
    assert caught.value.suggestion is None
    report = checked(folder)
    assert report.manifest is None
    assert report.problems[0].endswith("To train, write a dataset.json that says what to read; docs/datasets.md has examples")


def test_maps_with_very_many_values_get_no_suggested_classes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.png").image("masks/1.png", np.arange(256, dtype=np.uint8).reshape(16, 16))
    with pytest.raises(UnclearError) as caught:
        recognised(folder)
    assert caught.value.suggestion is None
