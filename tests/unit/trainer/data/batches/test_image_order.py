"""The order of training images: whole passes, rare labels often enough, a function of seed and row."""

from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_api.heads import Head, MulticlassClassification, ViewInvariance
from headrace_trainer.data.annotations import ImageLabel
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.batches.image_order import ImageOrder
from headrace_trainer.data.head_labels.head_data import HeadData
from headrace_trainer.data.problems import Problems
from headrace_trainer.data.splits.split import Split
from headrace_trainer.label_space import LabelSpace


def split_of(labelled: dict[str, set[int]], images: int, self_supervised: bool = False) -> Split:
    """A train split with one head per layer; each head has labels on the images with these numbers."""
    names = tuple(f"{number:06d}.jpg" for number in range(images))
    heads = [
        HeadData(
            Head(name=name, annotations=name, multiclass_classification=MulticlassClassification()),
            name,
            ClassTable((), ()),
            (),
            LabelSpace(),
        )
        for name in labelled
    ]
    if self_supervised:
        spec = Head(name="views", view_invariance=ViewInvariance())
        heads.append(HeadData(spec, None, ClassTable((), ()), (), LabelSpace()))
    annotations = {name: {names[number]: ImageLabel(0) for number in numbers} for name, numbers in labelled.items()}
    return Split("train", names, Path(), tuple(heads), annotations, {}, Problems(0, print))


def rows(
    split: Split, count: int, sampler: Literal["balanced", "uniform"] = "balanced", seed: int = 0, start: int = 0
) -> list[int]:
    order = ImageOrder(split, sampler, seed)
    return [order(row) for row in range(start, start + count)]


@st.composite
def partly_labelled(draw: st.DrawFn) -> tuple[Split, dict[str, set[int]]]:
    """Up to five heads, each with labels on 1 % to 100 % of up to 400 images, disjoint or not; at least one image each."""
    images = draw(st.integers(1, 400))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    shares = draw(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=5))
    counts = [max(1, round(share * images)) for share in shares]
    if draw(st.booleans()):
        chosen = [random.permutation(images)[:count] for count in counts]
    else:  # one after another, as far as there is room
        starts = np.cumsum([0, *counts[:-1]])
        chosen = [(start + np.arange(count)) % images for start, count in zip(starts, counts, strict=True)]
    labelled = {f"head-{number}": set(one.tolist()) for number, one in enumerate(chosen)}
    return split_of(labelled, images, draw(st.booleans())), labelled


@settings(max_examples=60, deadline=None)
@given(case=partly_labelled(), seed=st.integers(0, 5))
def test_a_pass_shows_every_image_and_is_at_most_twice_as_long(case: tuple[Split, dict[str, set[int]]], seed: int) -> None:
    split, labelled = case
    order = ImageOrder(split, "balanced", seed)
    assert len(split) <= order.rows <= 2 * len(split) + len(labelled)
    for number in range(2):
        shown = [order(row) for row in range(number * order.rows, (number + 1) * order.rows)]
        assert set(shown) == set(range(len(split)))


@settings(max_examples=60, deadline=None)
@given(case=partly_labelled(), seed=st.integers(0, 5), data=st.data())
def test_every_window_feeds_every_head(case: tuple[Split, dict[str, set[int]]], seed: int, data: st.DataObject) -> None:
    """As the module's docstring says, but half as strict across the end of a pass."""
    split, labelled = case
    order = ImageOrder(split, "balanced", seed)
    sets = {frozenset(one) for one in labelled.values()}
    if any(head.spec.name == "views" for head in split.heads):
        sets.add(frozenset(range(len(split))))
    combinations = {tuple(image in one for one in sets) for image in range(len(split))}
    bound = 3 + 2 * len(combinations) + 2 * sum(1 for count in order._draws if count)
    start = data.draw(st.integers(0, 2 * order.rows))
    window = data.draw(st.integers(1, order.rows))
    shown = [order(row) for row in range(start, start + window)]
    passes = 1 if start // order.rows == (start + window - 1) // order.rows else 2
    for one in sets:
        assert sum(image in one for image in shown) >= window / (2 * len(sets)) - passes * bound


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_a_rare_head_is_in_every_batch_that_is_large_enough(share: float) -> None:
    """Two sets: each gets at least a quarter of the rows, so batches of 16 have at least three rare images."""
    rare = set(range(round(1000 * share)))
    split = split_of({"rare": rare}, 1000, self_supervised=True)
    shown = rows(split, 16 * 200)
    fed = [sum(image in rare for image in shown[start : start + 16]) for start in range(0, len(shown), 16)]
    assert min(fed) >= 3
    assert sum(fed) / len(shown) == pytest.approx(0.25 + share / 2 * (0.5 + share), rel=0.02)
    plain = rows(split, 16 * 200, "uniform")
    assert sum(image in rare for image in plain) / len(plain) == pytest.approx(share, rel=0.3)


def test_a_set_shows_its_own_images_equally_often() -> None:
    split = split_of({"rare": {3, 50, 77}}, 100, self_supervised=True)
    counts = Counter(rows(split, 5 * ImageOrder(split, "balanced", 0).rows))
    rare = [counts.pop(image) for image in (3, 50, 77)]
    assert max(rare) - min(rare) <= 1
    assert set(counts.values()) == {5}, "every other image comes once per pass"


@settings(max_examples=30, deadline=None)
@given(case=partly_labelled(), seed=st.integers(0, 5), start=st.integers(0, 2000), sampler=st.sampled_from(["balanced", "uniform"]))
def test_any_row_can_come_first(
    case: tuple[Split, dict[str, set[int]]], seed: int, start: int, sampler: Literal["balanced", "uniform"]
) -> None:
    split, _ = case
    assert rows(split, start + 20, sampler, seed)[start:] == rows(split, 20, sampler, seed, start)


def test_if_all_images_have_labels_for_all_heads_there_is_nothing_to_balance() -> None:
    everything = set(range(50))
    split = split_of({"first": everything, "second": everything}, 50, self_supervised=True)
    assert rows(split, 150, "balanced") == rows(split, 150, "uniform")


def test_heads_on_the_same_layer_count_once() -> None:
    few = set(range(10))
    one, three = split_of({"a": few}, 100, True), split_of({"a": few, "b": few, "c": few}, 100, True)
    assert rows(one, 300) == rows(three, 300)


def test_another_seed_is_another_order() -> None:
    split = split_of({"rare": {1, 2}}, 60, self_supervised=True)
    assert rows(split, 60, seed=0) != rows(split, 60, seed=1)


def test_the_log_says_which_labels_are_rare() -> None:
    split = split_of({"rare": {1, 2}, "frequent": set(range(30))}, 40, self_supervised=True)
    (line,) = ImageOrder(split, "balanced", 0).describe()
    assert line.startswith("rare: only 2 of 40 images are labelled; each is shown ")
    assert ImageOrder(split, "uniform", 0).describe() == []
