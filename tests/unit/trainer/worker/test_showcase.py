"""Which images are drawn: the same ones whatever else is there, and as different as they can be."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headrace_api.heads import Head
from headrace_trainer.data.annotations import Annotation, BoxList
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.head_labels.head_data import HeadData
from headrace_trainer.data.problems import Problems
from headrace_trainer.data.splits.split import Split
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.worker.showcase import MOST_IMAGES, choose_showcase, picture_file, spread

BOXES = {"objectDetection": {}}

Classes = dict[str, list[int]]
"""By image, the classes of its objects."""

IMAGES = st.dictionaries(st.text("abcdefgh/", min_size=1, max_size=4), st.lists(st.integers(0, 5), max_size=4), max_size=40)


def boxes(classes: list[int]) -> BoxList:
    corners = np.zeros((len(classes), 4), np.float32)
    crowd = np.zeros(len(classes), np.bool_)
    return BoxList(classes=np.array(classes, np.int64), crowd=crowd, boxes=corners, normalised=False)


def annotated(images: Mapping[str, list[int]]) -> dict[str, Annotation | None]:
    return {image: boxes(classes) for image, classes in images.items()}


def chosen(images: Mapping[str, list[int]]) -> tuple[str, ...]:
    return spread(annotated(images))


def straightforward(images: Mapping[str, list[int]]) -> tuple[str, ...]:
    """The rule as its sentence says it, slowly."""
    left = sorted(images, key=lambda image: hashlib.sha256(image.encode()).digest())
    kinds = {image: set(classes) or {-1} for image, classes in images.items()}
    shown = dict.fromkeys(set().union(*kinds.values()), 0)
    taken: list[str] = []
    while left and len(taken) < MOST_IMAGES:
        least = min(shown[kind] for image in left for kind in kinds[image])
        first = next(image for image in left if any(shown[kind] == least for kind in kinds[image]))
        left.remove(first)
        taken.append(first)
        for kind in kinds[first]:
            shown[kind] += 1
    return tuple(taken)


@given(IMAGES)
def test_the_class_shown_least_so_far_comes_next(images: Classes) -> None:
    assert chosen(images) == straightforward(images)


@given(IMAGES, st.randoms(use_true_random=False))
def test_neither_the_order_of_images_nor_the_numbers_of_classes_matter(images: Classes, random: st.DataObject) -> None:
    names, numbers = list(images), list(range(6))
    random.shuffle(names)  # type: ignore[attr-defined]
    random.shuffle(numbers)  # type: ignore[attr-defined]
    assert chosen({name: [numbers[index] for index in images[name]] for name in names}) == chosen(images)


@given(IMAGES, st.data())
def test_an_image_that_is_not_shown_makes_no_difference(images: Classes, data: st.DataObject) -> None:
    before = chosen(images)
    others = sorted(images.keys() - set(before))
    removed = set(data.draw(st.lists(st.sampled_from(others)))) if others else set()
    assert chosen({image: classes for image, classes in images.items() if image not in removed}) == before


@given(IMAGES)
def test_as_many_images_as_there_is_room_for_each_once(images: Classes) -> None:
    assert len(set(chosen(images))) == len(chosen(images)) == min(MOST_IMAGES, len(images))


def test_a_rare_class_is_shown_however_many_images_have_another() -> None:
    images = {f"{number}.jpg": [0] for number in range(500)} | {"rare.jpg": [7], "empty.jpg": []}
    assert {"rare.jpg", "empty.jpg"} <= set(chosen(images)[:3])


def head(name: str, layer: str | None, **task: dict[str, object]) -> HeadData:
    spec = Head.model_validate({"name": name, "annotations": layer, **task})
    return HeadData(spec, layer, ClassTable((), ()), (spec.task,), LabelSpace())


def split(heads: tuple[HeadData, ...], layers: Mapping[str, Classes], unlabelled: int = 30) -> Split:
    annotations = {layer: {image: boxes(classes) for image, classes in images.items()} for layer, images in layers.items()}
    names = {image for images in layers.values() for image in images} | {f"unlabelled/{number}.jpg" for number in range(unlabelled)}
    problems = Problems(0, lambda _: None)
    return Split("val", tuple(sorted(names)), Path(), heads, annotations, {}, problems)


def test_the_names_of_heads_and_the_other_heads_make_no_difference() -> None:
    layer = {f"{number}.jpg": [number % 5] for number in range(50)}
    alone = choose_showcase(split((head("boxes", "objects", **BOXES),), {"objects": layer}))
    heads = (head("other", "things", **BOXES), head("renamed", "objects", **BOXES), head("again", "objects", **BOXES))
    together = choose_showcase(split(heads, {"objects": layer, "things": {"7.jpg": [0], "other.jpg": [1]}}))
    assert together.images["renamed"] == together.images["again"] == alone.images["boxes"]
    assert set(together.images["other"]) == {"7.jpg", "other.jpg"}, "only those that are labelled for it"
    assert together.labelled == {"other", "renamed", "again"}


def test_heads_without_labels_are_shown_on_any_images() -> None:
    heads = (head("views", None, viewInvariance={}), head("boxes", "objects", **BOXES))
    chosen = choose_showcase(split(heads, {"objects": {}}))
    assert chosen.images["views"] == chosen.images["boxes"]
    assert len(chosen.images["views"]) == MOST_IMAGES
    assert chosen.labelled == {"views"}, "every image is labelled for a self-supervised head"


def test_pictures_have_short_names_that_stay() -> None:
    assert picture_file("images/val/a b.png") == hashlib.sha256(b"images/val/a b.png").hexdigest()[:12] + ".jpg"
