"""Images without a split are divided the same way on every machine."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_api.errors import FatalError
from headrace_testing.dataset_folder import DatasetFolder, coco
from headrace_trainer.check.dataset import check_dataset
from headrace_trainer.data.held_out import held_out, place

IMAGES = [f"images/{number}.jpg" for number in range(2000)]


def test_the_hash_is_the_same_on_every_machine() -> None:
    """The original values: another hash would move images from train to val in every user's dataset."""
    assert [round(place(image), 9) for image in ("images/a.jpg", "images/b.jpg", "Ä/ö.png")] == [
        0.036676703,
        0.446315869,
        0.274757275,
    ]


def test_about_the_share_is_held_out_and_it_does_not_depend_on_the_order() -> None:
    chosen = held_out([IMAGES], 0.1)
    assert 150 < len(chosen) < 250
    assert held_out([IMAGES[::-1]], 0.1) == chosen
    assert chosen < held_out([IMAGES], 0.3), "a larger share holds out more, and keeps those held out"


def test_an_image_stays_where_it_is_whatever_others_come_and_go() -> None:
    assert held_out([IMAGES[:1000]], 0.1) == held_out([IMAGES], 0.1) & set(IMAGES[:1000])


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_neither_part_is_empty_from_two_images_on(share: float) -> None:
    assert [len(held_out([IMAGES[:count]], share)) for count in (0, 1)] == [0, round(share)]
    for count in (2, 3, 10):
        assert 1 <= len(held_out([IMAGES[:count]], share)) <= count - 1


SOME = st.frozensets(st.sampled_from(IMAGES[:12]), min_size=1, max_size=12)


@given(st.lists(SOME, min_size=1, max_size=6), st.floats(0.01, 0.99), st.randoms())
def test_layers_have_both_parts_unless_another_layer_needs_the_image(
    layers: list[frozenset[str]], share: float, random: Random
) -> None:
    apart = held_out(layers, share)
    by_hash = {image for layer in layers for image in layer if place(image) < share}
    assert len(apart ^ by_hash) <= len(layers), "at most one image per layer is moved"
    lasting = [layer - apart for layer in layers if len(layer) > 1]
    assert all(lasting), "there is something to train on"
    for layer in layers:
        if len(layer) > 1 and not layer & apart:
            assert all({image} in lasting for image in layer), "each is the last image that some layer trains on"
    if all(layer & by_hash and layer - by_hash for layer in layers):
        assert apart == by_hash
    random.shuffle(layers)
    assert held_out(layers, share) == apart


@given(st.lists(SOME, min_size=1, max_size=6), st.floats(0.01, 0.99))
def test_nested_layers_always_have_both_parts(layers: list[frozenset[str]], share: float) -> None:
    """This is how most layers share images: boxes on all, texts on some. Each in a chain that starts with two images."""
    chain = [frozenset(IMAGES[:2]).union(*layers[:count]) for count in range(len(layers) + 1)]
    apart = held_out(chain, share)
    assert all(layer & apart and layer - apart for layer in chain)


def test_three_layers_of_two_images_each_cannot_all_be_scored_on() -> None:
    a, b, c = IMAGES[:3]
    layers = [{a, b}, {b, c}, {a, c}]
    apart = held_out(layers, 0.0001)
    assert sorted(len(layer & apart) for layer in layers) == [0, 1, 1]


def folder_of(root: Path, count: int) -> DatasetFolder:
    folder = DatasetFolder(root).json("all.json", coco([f"{number}.png" for number in range(count)]))
    for number in range(count):
        folder.image(f"images/{number}.png")
    return folder.layer("things", "object-detection", "coco", {"all": "all.json"})


def test_a_layer_with_all_images_is_split_by_the_share_in_the_manifest(tmp_path: Path) -> None:
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


def test_a_small_layer_of_which_the_hash_holds_out_none_agrees_with_a_layer_of_all(tmp_path: Path) -> None:
    """One is held out anyway, and then the other layer does not train on it either."""
    folder = folder_of(tmp_path, 60)
    few = sorted(range(60), key=lambda number: -place(f"images/{number}.png"))[:8]
    folder.json("few.json", coco([f"{number}.png" for number in few])).layer("few", "object-detection", "coco", {"all": "few.json"})
    dataset = folder.open()
    assert len(dataset.val.annotations["few"]) == 1
    assert dataset.val.annotations["few"].keys() < dataset.val.annotations["things"].keys()
    assert len(dataset.train) + len(dataset.val) == len(dataset.train.annotations["things"]) + len(dataset.val) == 60
    assert not any("both splits" in line for line in dataset.describe())
    assert not any("both splits" in line for line in check_dataset(tmp_path, "dataset", False).notes)


@pytest.mark.parametrize("share", [0, 1, -0.5])
def test_a_share_that_leaves_nothing_is_refused(tmp_path: Path, share: float) -> None:
    folder = folder_of(tmp_path, 3)
    with pytest.raises(FatalError, match=r"valShare: should be"):
        folder.json("dataset.json", {"version": 1, "valShare": share, "layers": folder.layers}).open()
