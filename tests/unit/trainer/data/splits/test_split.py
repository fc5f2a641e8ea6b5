from collections.abc import Iterable

import numpy as np
import pytest

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.data.annotations import Annotation, ImageLabel
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.layer_data import LayerData
from headrace_trainer.data.problems import Problems
from headrace_trainer.data.splits.split import SplitImages, divide_images


def layer(train: Iterable[str] = (), val: Iterable[str] = ()) -> LayerData:
    def labels(images: Iterable[str]) -> dict[str, Annotation]:
        return {image: ImageLabel(0) for image in images}

    return LayerData(ClassTable.of({0: "a"}), {"train": labels(train), "val": labels(val)})


def divide(layers: dict[str, LayerData], unlisted: Iterable[str] = ()) -> SplitImages:
    return divide_images(layers, unlisted, 0.1, Problems(0, lambda _: None))


def test_a_split_is_the_union_of_the_layers_and_val_takes_precedence() -> None:
    images = divide({"a": layer(["1", "2"], ["3"]), "b": layer(["3", "4"], ["5"])})
    assert images.train == {"1", "2", "4"}
    assert images.val == {"3", "5"}


def test_images_that_no_layer_lists_are_trained_on_except_in_a_held_out_folder() -> None:
    unlisted = ["x/1.png", "x/val/2.png", "train/3.png", "a/test/b/4.png", "val2017/5.png", "validate/6.png", "3", "1"]
    images = divide({"a": layer(["1"], ["3"])}, unlisted)
    assert images.train == {"1", "x/1.png", "train/3.png", "validate/6.png"}
    assert images.val == {"3", "x/val/2.png", "a/test/b/4.png", "val2017/5.png"}


def test_if_nothing_is_held_out_a_hash_splits_images_that_no_layer_lists() -> None:
    names = [f"{number}.jpg" for number in range(2000)]
    images = divide({"a": layer(names[:10])}, names)
    assert images.train | images.val == set(names)
    assert not images.val & set(names[:10])
    assert 0.07 < len(images.val) / 1990 < 0.13
    without_some = divide({"a": layer(names[:10])}, [name for name in names if int(name[:-4]) % 3])
    assert without_some.val <= images.val, "an image keeps its split whatever others come and go"


def test_two_images_are_enough() -> None:
    images = divide({}, ["a.png", "b.png"])
    assert len(images.train) == len(images.val) == 1


@pytest.mark.parametrize(
    ("layers", "unlisted", "complaint"),
    [
        ({"a": layer(["1"])}, [], "no image is in the split 'val': give at least one of the layers 'a' a 'val'"),
        ({"a": layer([], ["1"])}, [], "no image is in the split 'train': give at least one of the layers 'a' a 'train'"),
        ({}, ["test/1.png"], "no image is in the split 'train': put some images into a folder 'train'"),
        ({}, ["1.png"], "no image is in the split 'val': put some images into a folder 'val'"),
    ],
)
def test_an_empty_split_is_refused(layers: dict[str, LayerData], unlisted: list[str], complaint: str) -> None:
    with pytest.raises(FatalError, match=complaint) as caught:
        divide(layers, unlisted)
    assert caught.value.reason is Reason.BAD_DATASET


def test_images_are_the_same_in_any_order() -> None:
    names = [f"{number}.jpg" for number in range(100)]
    shuffled = np.random.default_rng(0).permutation(names).tolist()
    assert divide({}, names) == divide({}, shuffled)
