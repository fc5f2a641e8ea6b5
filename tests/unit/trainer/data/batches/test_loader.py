"""Batches: repeatable, resumable, the same for any number of threads, and complete despite bad images."""

import errno
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.training import Augmentation, ImageSize, Scale, Training
from headrace_testing.dataset_folder import DatasetFolder, coco
from headrace_trainer.data.batches import loader
from headrace_trainer.data.batches.augment import jitter_color, random_geometry
from headrace_trainer.data.batches.batch import Batch, empty_batch
from headrace_trainer.data.batches.loader import describe_eval_batches, eval_batches, train_batches
from headrace_trainer.data.dataset import Dataset
from headrace_trainer.data.targets.geometry import PAD_COLOR

IMAGES = 7
TRAINING = Training(batch_size=3, image_size=ImageSize(height=32, width=48), seed=5)


def mixed_folder(root: Path) -> DatasetFolder:
    """Seven train and four val images of different sizes: boxes on 0 to 4 (none on 4), class maps on 3 to 6, a folder on all."""
    random = np.random.default_rng(0)
    folder = DatasetFolder(root)
    for split, count in (("train", IMAGES), ("val", 4)):
        sizes = [(int(height), int(width)) for height, width in random.integers(30, 90, (count, 2))]
        for number, size in enumerate(sizes):
            folder.image(f"images/{split}/ab{number % 2}/{number}.png", random.integers(0, 255, (*size, 3), np.uint8))
        entries = coco([f"{number}.png" for number in range(min(count, 5))])
        for entry, (height, width) in zip(entries["images"], sizes, strict=False):
            entry.update(height=height, width=width)
        entries["annotations"] = [
            {"id": n, "image_id": n % 4 + 1, "category_id": 1 + 2 * (n % 2), "bbox": [n, 2 * n, 10 + n, 12], "iscrowd": int(n == 3)}
            for n in range(9)
        ]
        folder.json(f"{split}.json", entries)
        for number in range(3, count):
            folder.image(f"maps/{split}/{number}.png", random.integers(0, 3, sizes[number], np.uint8))
    folder.layer("boxes", "object-detection", "coco", {"train": "train.json", "val": "val.json"})
    folder.layer(
        "map", "semantic-segmentation", "mask-png", {"train": "maps/train", "val": "maps/val"}, classes=["a", "b", "c"], ignore=0
    )
    return folder.layer("place", "multiclass-classification", "image-folder", {"train": "images/train", "val": "images/val"})


TAGS = {"name": "tags", "annotations": "boxes", "multilabelClassification": {}}
HEADS = (
    {"name": "boxes", "annotations": "boxes", "objectDetection": {}},
    TAGS,
    {"name": "map", "annotations": "map", "semanticSegmentation": {}},
    {"name": "place", "annotations": "place", "multiclassClassification": {}},
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return mixed_folder(tmp_path_factory.mktemp("mixed")).open(*HEADS)


def take(dataset: Dataset, count: int, start: int = 0, threads: int = 1, training: Training = TRAINING) -> list[Batch]:
    with closing(train_batches(dataset, training, start, threads)) as batches:
        return list(itertools.islice(batches, count))


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    found = {"images": batch.images, **{f"labelled/{head}": flags for head, flags in batch.labelled.items()}}
    return found | {f"{head}/{name}": tensor for head, target in batch.targets.items() for name, tensor in target.items()}


def assert_same(ours: list[Batch], theirs: list[Batch]) -> None:
    assert [batch.names for batch in ours] == [batch.names for batch in theirs]
    for left, right in zip(ours, theirs, strict=True):
        for name, tensor in tensors(left).items():
            assert torch.equal(tensor, tensors(right)[name]), name


def test_shapes_and_types_are_those_that_heads_expect(dataset: Dataset) -> None:
    (batch,) = take(dataset, 1)
    got = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors(batch).items()}
    assert got == {
        "images": ((3, 3, 32, 48), torch.uint8),
        "labelled/boxes": ((3,), torch.bool),
        "labelled/tags": ((3,), torch.bool),
        "labelled/map": ((3,), torch.bool),
        "labelled/place": ((3,), torch.bool),
        "boxes/boxes": ((3, 8, 4), torch.float32),
        "boxes/classes": ((3, 8), torch.int64),
        "boxes/valid": ((3, 8), torch.bool),
        "boxes/crowd": ((3, 8), torch.bool),
        "tags/labels": ((3, 2), torch.float32),
        "map/map": ((3, 32, 48), torch.int64),
        "place/label": ((3,), torch.int64),
    }
    assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_each_image_has_the_labels_that_were_made_for_it_and_no_others(dataset: Dataset) -> None:
    for batch in take(dataset, 5):
        for row, name in enumerate(batch.names):
            number = int(Path(name).stem)
            assert bool(batch.labelled["boxes"][row]) is bool(batch.labelled["tags"][row]) is (number < 5)
            assert bool(batch.labelled["map"][row]) is (number >= 3)
            assert batch.labelled["place"][row]
            assert batch.targets["place"]["label"][row] == number % 2
            if number >= 4:
                assert not batch.targets["boxes"]["valid"][row].any(), "negatives and unlabelled images have no boxes"
            if number < 3:
                assert (batch.targets["map"]["map"][row] == -1).all()
            valid = batch.targets["boxes"]["valid"][row]
            present = set(batch.targets["boxes"]["classes"][row][valid].tolist())
            assert set(torch.nonzero(batch.targets["tags"]["labels"][row])[:, 0].tolist()) == present, "labels must match the crop"


def test_any_number_of_threads_makes_the_same_batches(dataset: Dataset) -> None:
    assert_same(take(dataset, 6, threads=1), take(dataset, 6, threads=5))


@settings(max_examples=8, deadline=None)
@given(start=st.integers(0, 12), threads=st.integers(1, 3))
def test_going_on_from_an_iteration_equals_never_having_stopped(dataset: Dataset, start: int, threads: int) -> None:
    assert_same(take(dataset, start + 2)[start:], take(dataset, 2, start=start, threads=threads))


def test_every_image_comes_once_per_epoch_and_each_epoch_has_its_own_order(dataset: Dataset) -> None:
    names = [name for batch in take(dataset, IMAGES) for name in batch.names]
    epochs = [names[start : start + IMAGES] for start in range(0, 3 * IMAGES, IMAGES)]
    assert all(sorted(epoch) == sorted(dataset.train.images) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_seed_decides_the_order(dataset: Dataset) -> None:
    other = TRAINING.model_copy(update={"seed": 6})
    assert [batch.names for batch in take(dataset, 3)] != [batch.names for batch in take(dataset, 3, training=other)]


def test_an_image_looks_different_each_time_whatever_its_row_or_the_seed(dataset: Dataset) -> None:
    seen: dict[tuple[str, int], list[torch.Tensor]] = {}
    size = ImageSize(height=256, width=320)  # so many places that two equal draws are unlikely
    for seed in (0, 1):
        training = TRAINING.model_copy(update={"seed": seed, "batch_size": IMAGES, "image_size": size})
        for batch in take(dataset, 5, training=training):
            for row, name in enumerate(batch.names):
                seen.setdefault((name, row), []).append(batch.images[row])
    again = [pair for views in seen.values() for pair in itertools.combinations(views, 2)]
    assert len(again) > 10, "the same image in the same row"
    assert not any(torch.equal(first, second) for first, second in again)


def test_a_batch_may_be_larger_than_the_dataset(dataset: Dataset) -> None:
    (batch,) = take(dataset, 1, training=TRAINING.model_copy(update={"batch_size": 2 * IMAGES}))
    assert sorted(batch.names) == sorted(2 * dataset.train.images)


def test_evaluation_sees_every_image_once_in_order_without_augmentation(dataset: Dataset) -> None:
    batches = list(eval_batches(dataset.val, TRAINING, threads=2))
    assert [len(batch.names) for batch in batches] == [3, 1]
    assert [name for batch in batches for name in batch.names] == list(dataset.val.images)
    assert batches[1].images.shape == (1, 3, 32, 48)
    assert_same(batches, list(eval_batches(dataset.val, TRAINING.model_copy(update={"seed": 9}), threads=1)))


def test_a_held_out_image_with_many_objects_makes_evaluation_batches_smaller(tmp_path: Path) -> None:
    """Masks are padded to its objects: 400 of 256 x 256 pixels take 25 MiB per image, so ten images fit into 256 MiB."""
    triangle, splits = "0 0.1 0.1 0.9 0.1 0.5 0.9\n", {"train": "labels/train", "val": "labels/val"}
    folder = DatasetFolder(tmp_path).image("images/train/a.png").image("images/val/v.png")
    folder.text("labels/train/a.txt", triangle).text("labels/val/v.txt", 400 * triangle)
    folder.layer("things", "instance-segmentation", "yolo", splits, classes=["cat"])
    dataset = folder.open({"name": "things", "annotations": "things", "instanceSegmentation": {}})
    training = Training(batch_size=16, image_size=ImageSize(height=256, width=256))
    assert dataset.val.padding == {"things": 400}
    assert describe_eval_batches(dataset.val, training) == [
        "evaluation takes 10 images at a time, not batchSize = 16: targets of more would exceed 256 MiB"
    ]
    assert describe_eval_batches(dataset.train, training) == []


@pytest.mark.parametrize(("room_for", "size"), [(0.5, 1), (1, 1), (2.5, 2), (100, 3)])
def test_smaller_batches_show_the_same_images_and_few_are_made_ahead(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, room_for: float, size: int
) -> None:
    (whole,) = eval_batches(dataset.train, TRAINING.model_copy(update={"batch_size": IMAGES}), threads=1)
    row = sum(tensor.nbytes for targets in whole.targets.values() for tensor in targets.values()) / IMAGES
    monkeypatch.setattr(loader, "_MOST_BYTES", int(room_for * row))
    begun, seen = list[int](), list[Batch]()

    def counting(split: Any, rows: int, *args: Any) -> Batch:
        begun.append(rows)
        return empty_batch(split, rows, *args)

    batches = eval_batches(dataset.train, TRAINING, threads=16)
    monkeypatch.setattr(loader, "empty_batch", counting)
    for batch in batches:
        seen.append(batch)
        assert begun[0] == size
        assert sum(begun) - sum(len(one.names) for one in seen) <= 3 * size or room_for == 100
    for name, tensor in tensors(whole).items():
        assert torch.equal(torch.cat([tensors(batch)[name] for batch in seen]), tensor), name


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_closing_leaves_no_thread(dataset: Dataset) -> None:
    batches = train_batches(dataset, TRAINING, 0, threads=3)
    next(batches)
    assert loader_threads()
    batches.close()
    assert not loader_threads()
    list(eval_batches(dataset.val, TRAINING, threads=3))
    assert not loader_threads()


def test_an_error_in_a_thread_reaches_the_consumer_with_the_image(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Iterator[None]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(loader, "load_sample", broken)
    with pytest.raises(ZeroDivisionError) as caught:
        next(train_batches(dataset, TRAINING, 0, threads=2))
    assert caught.value.__notes__[0].startswith("while loading images/train/")
    assert not loader_threads()


def broken_folder(root: Path, broken: int) -> DatasetFolder:
    folder = mixed_folder(root)
    for number in range(broken):
        folder.path(f"images/train/ab{number % 2}/{number}.png").write_bytes(b"not an image")
    return folder


def test_bad_images_become_padding_without_labels_and_are_counted_once(tmp_path: Path) -> None:
    folder = broken_folder(tmp_path, 2)
    dataset = folder.open(*HEADS, max_bad_images=2)
    bad = {f"images/train/ab{number}/{number}.png" for number in range(2)}
    batches = take(dataset, 5, threads=2)  # two epochs
    for batch in batches:
        for row, name in enumerate(batch.names):
            if name in bad:
                assert not any(flags[row] for flags in batch.labelled.values())
                assert (batch.images[row] == torch.tensor(PAD_COLOR, dtype=torch.uint8)[:, None, None]).all()
            else:
                assert batch.labelled["place"][row]
    assert dataset.problems.bad_images == 2
    assert sorted(line.split(":")[0] for line in folder.said) == [f"skipped {name}" for name in sorted(bad)]
    assert_same(batches, take(dataset, 5))


def test_one_bad_image_too_many_ends_the_job_and_names_the_causes(tmp_path: Path) -> None:
    dataset = broken_folder(tmp_path, 3).open(*HEADS, max_bad_images=2)
    with pytest.raises(FatalError, match=r"3 bad images, more than dataset\.maxBadImages = 2: .*cannot identify image") as caught:
        take(dataset, 5)
    assert caught.value.reason is Reason.TOO_MANY_BAD_IMAGES
    assert not loader_threads()


def test_the_bound_holds_over_opening_and_loading_together(tmp_path: Path) -> None:
    folder = broken_folder(tmp_path, 1)
    content = coco([f"{number}.png" for number in range(5)], [{"image_id": 2, "category_id": 99, "bbox": [1, 1, 2, 2]}])
    for entry in content["images"]:
        del entry["height"], entry["width"]
    folder.json("train.json", content)
    take(folder.open(*HEADS, max_bad_images=2), 5)
    with pytest.raises(FatalError, match="2 bad images"):
        take(folder.open(*HEADS, max_bad_images=1), 5)


MACHINE_TROUBLE = [
    *(OSError(number, os.strerror(number)) for number in (errno.EIO, errno.EMFILE, errno.ESTALE, errno.ENOSPC, errno.EACCES)),
    MemoryError(),
]


@pytest.mark.parametrize("trouble", MACHINE_TROUBLE, ids=repr)
@pytest.mark.parametrize("suffix", ["images/train/ab0/0.png", "maps/train/3.png"], ids=["image", "mask"])
def test_a_fault_of_the_machine_is_not_blamed_on_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, trouble: Exception
) -> None:
    dataset = mixed_folder(tmp_path).open(*HEADS, max_bad_images=10)
    opened = Image.open

    def open_(path: Path) -> Image.Image:
        if str(path).endswith(suffix):
            raise trouble
        return opened(path)

    monkeypatch.setattr(Image, "open", open_)
    with pytest.raises(type(trouble)) as caught:
        take(dataset, 5)
    assert caught.value is trouble
    assert dataset.problems.bad_images == 0


def test_a_missing_file_is_a_bad_image(tmp_path: Path) -> None:
    dataset = mixed_folder(tmp_path).open(*HEADS, max_bad_images=1)
    (tmp_path / "images/train/ab0/0.png").unlink()
    take(dataset, 5)
    assert dataset.problems.bad_images == 1


def test_an_image_that_sends_its_decoder_to_an_impossible_offset_is_a_bad_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow seeks where a broken JPEG 2000 file tells it to, and the system answers "Invalid argument"."""
    dataset = mixed_folder(tmp_path).open(*HEADS, max_bad_images=1)
    opened = Image.open

    def open_(path: Path) -> Image.Image:
        if str(path).endswith("images/train/ab0/0.png"):
            with path.open("rb") as file:
                os.lseek(file.fileno(), -5, os.SEEK_SET)
        return opened(path)

    monkeypatch.setattr(Image, "open", open_)
    take(dataset, 5)
    assert dataset.problems.bad_images == 1


def test_a_broken_mask_costs_only_the_labels_of_its_layer(tmp_path: Path) -> None:
    folder = mixed_folder(tmp_path)
    folder.path("maps/train/3.png").write_bytes(b"not a mask")
    dataset = folder.open(*HEADS, max_bad_images=1)
    for batch in take(dataset, 3):
        for row, name in enumerate(batch.names):
            if name == "images/train/ab1/3.png":
                assert batch.labelled["boxes"][row]
                assert not batch.labelled["map"][row]
    assert dataset.problems.bad_images == 1


@pytest.mark.parametrize(("stated", "upright"), [((40, 60), False), ((60, 40), True), (None, True)])
def test_boxes_that_state_the_stored_size_are_seen_on_the_stored_pixels(
    tmp_path: Path, stated: tuple[int, int] | None, upright: bool
) -> None:

    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:10] = 255  # the top of the stored pixels is the right of the upright image
    exif = Image.Exif()
    exif[0x0112] = 6
    folder = DatasetFolder(tmp_path).image("images/v.png", pixels, exif=exif).image("images/t.png")
    size = {} if stated is None else {"height": stated[0], "width": stated[1]}
    val = {"images": [{"id": 1, "file_name": "v.png", **size}], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    folder.json("train.json", coco(["t.png"])).json("val.json", val)
    dataset = folder.layer("boxes", "object-detection", "coco", {"train": "train.json", "val": "val.json"}).open()
    square = TRAINING.model_copy(update={"image_size": ImageSize(height=60, width=60)})
    (batch,) = eval_batches(dataset.val, square, threads=1)
    assert batch.labelled["boxes"].all()
    white = (batch.images[0] > 250).all(dim=0).numpy()
    assert white[:, 40:50].all() if upright else white[10:20].all()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), low=st.floats(0.2, 1), high=st.floats(1, 4), flip=st.booleans())
def test_random_geometry_stays_within_its_settings(seed: int, low: float, high: float, flip: bool) -> None:
    augmentation = Augmentation(horizontal_flip=flip, scale=Scale(min=low, max=high))
    geometry = random_geometry((40, 60), (64, 64), augmentation, np.random.default_rng(seed))
    assert flip or not geometry.flip
    zoom = geometry.scaled[1] / 64
    assert low - 0.02 <= zoom <= high + 0.02
    top, left, bottom, right = geometry.window
    assert (bottom - top, right - left) == (min(geometry.scaled[0], 64), min(geometry.scaled[1], 64)), "no canvas is wasted"


def test_colours_change_within_their_strength_and_repeatably() -> None:
    images = torch.rand((4, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    jittered = jitter_color(images, 0.2, torch.Generator().manual_seed(1))
    assert torch.equal(jittered, jitter_color(images, 0.2, torch.Generator().manual_seed(1)))
    assert not torch.allclose(jittered, images)
    assert 0 <= float(jittered.min()) <= float(jittered.max()) <= 1
    assert torch.equal(jitter_color(images, 0, torch.Generator()), images)
    gray = jitter_color(torch.full((2, 3, 4, 4), 0.5), 0.3, torch.Generator().manual_seed(2))
    assert (gray[:, 0] == gray[:, 1]).all(), "grey stays grey"
    assert ((gray > 0.5 * 0.7 - 1e-6) & (gray < 0.5 * 1.3 + 1e-6)).all()
