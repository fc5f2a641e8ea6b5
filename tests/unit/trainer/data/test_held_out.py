"""Images that nobody divided are divided the same everywhere."""

from pathlib import Path

import pytest

from headrace_testing.dataset_folder import DatasetFolder, coco
from headrace_trainer.data.held_out import held_out, place
from headrace_trainer.errors import FatalError

IMAGES = [f"images/{number}.jpg" for number in range(2000)]


def test_the_hash_is_the_same_on_every_machine() -> None:
    """Figures of the day this was written: another hash would move images from train to val in everybody's datasets."""
    assert [round(place(image), 9) for image in ("images/a.jpg", "images/b.jpg", "Ä/ö.png")] == [
        0.036676703,
        0.446315869,
        0.274757275,
    ]


def test_about_the_share_is_held_out_and_it_does_not_depend_on_the_order() -> None:
    chosen = held_out(IMAGES, 0.1)
    assert 150 < len(chosen) < 250
    assert held_out(reversed(IMAGES), 0.1) == chosen
    assert chosen < held_out(IMAGES, 0.3), "a larger share holds out more, none less"


def test_an_image_stays_where_it_is_whatever_others_come_and_go() -> None:
    assert held_out(IMAGES[:1000], 0.1) == held_out(IMAGES, 0.1) & set(IMAGES[:1000])


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_neither_part_is_empty_from_two_images_on(share: float) -> None:
    assert [len(held_out(IMAGES[:count], share)) for count in (0, 1)] == [0, round(share)]
    for count in (2, 3, 10):
        assert 1 <= len(held_out(IMAGES[:count], share)) <= count - 1


def folder_of(root: Path, count: int) -> DatasetFolder:
    folder = DatasetFolder(root).json("all.json", coco([f"{number}.png" for number in range(count)]))
    for number in range(count):
        folder.image(f"images/{number}.png")
    return folder.layer("things", "object-detection", "coco", {"all": "all.json"})


def test_a_layer_of_all_images_is_divided_by_the_share_of_the_manifest(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 40)
    tenth = folder.open()
    folder.json("dataset.json", {"version": 1, "valShare": 0.5, "layers": folder.layers})
    half = folder.open()
    assert set(tenth.val.images) < set(half.val.images)
    for dataset in (tenth, half):
        assert len(dataset.train) + len(dataset.val) == 40
    assert 12 <= len(half.val) <= 28


def test_layers_that_share_images_agree_on_the_split(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 40).json("some.json", coco([f"{number}.png" for number in range(0, 40, 2)]))
    folder.layer("others", "object-detection", "coco", {"all": "some.json"})
    dataset = folder.open()
    assert set(dataset.val.annotations["others"]) <= set(dataset.val.annotations["things"])
    assert not any("both splits" in line for line in dataset.describe())


@pytest.mark.parametrize("share", [0, 1, -0.5])
def test_a_share_that_leaves_nothing_is_refused(tmp_path: Path, share: float) -> None:
    folder = folder_of(tmp_path, 3)
    with pytest.raises(FatalError, match=r"dataset\.json: valShare: Input should be"):
        folder.json("dataset.json", {"version": 1, "valShare": share, "layers": folder.layers}).open()
