"""Tasks that need something from the dataset as a whole: self-supervised tasks, text, regression, anomalies."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.training import Augmentation, ImageSize, Training
from headrace_testing.dataset_folder import DatasetFolder, coco
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.data.batches.loader import eval_batches, train_batches
from headrace_trainer.data.dataset import Dataset

VIEWS = {"name": "views", "viewInvariance": {}}
TRAINING = Training(batch_size=4, image_size=ImageSize(height=32, width=48))


def images_only(root: Path, *names: str) -> DatasetFolder:
    folder = DatasetFolder(root).json("dataset.json", {"version": 1})
    for name in names:
        folder.image(f"images/{name}")
    return folder


def table(folder: DatasetFolder, task: str, train: list[dict[str, Any]], val: list[dict[str, Any]], **fields: Any) -> DatasetFolder:
    """A layer of JSON lines, and an image for each line."""
    for split, lines in (("train", train), ("val", val)):
        folder.text(f"{task}_{split}.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        for line in lines:
            folder.image(line["image"])
    splits = {split: f"{task}_{split}.jsonl" for split in ("train", "val")}
    return folder.layer(task, task, "jsonl", splits, **fields)


def first_batch(dataset: Dataset, training: Training = TRAINING) -> Batch:
    with closing(train_batches(dataset, training, 0, threads=1)) as batches:
        return next(batches)


def test_images_alone_train_a_self_supervised_head(tmp_path: Path) -> None:
    dataset = images_only(tmp_path, "train/a.png", "train/b.png", "val/c.png").open(VIEWS)
    assert dataset.train.images == ("images/train/a.png", "images/train/b.png")
    assert dataset.val.images == ("images/val/c.png",)
    batch = first_batch(dataset)
    assert batch.labelled["views"].all()
    assert batch.targets["views"]["label"].tolist() == [-1] * 4
    assert dataset.describe() == ["2 images to train on, 1 to score on", "head 'views' (view invariance) learns from every image"]


def test_images_alone_train_no_other_head(tmp_path: Path) -> None:
    folder = images_only(tmp_path, "a.png", "b.png")
    with pytest.raises(FatalError, match="the dataset has no layer to make heads for") as caught:
        folder.open()
    assert caught.value.reason is Reason.NO_SUCH_LAYER
    with pytest.raises(FatalError, match="the dataset has no layer 'cats'; its layers are: none"):
        folder.open({"name": "boxes", "annotations": "cats", "objectDetection": {}})


def partly_labelled(root: Path) -> DatasetFolder:
    """Three images with boxes, one of them to score on, and two that no layer lists."""
    folder = DatasetFolder(root)
    for name in ("a", "b", "v", "x", "y"):
        folder.image(f"images/{name}.png")
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 30, 30]}
    folder.json("train.json", coco(["a.png", "b.png"], [box])).json("val.json", coco(["v.png"], [box]))
    return folder.layer("things", "object-detection", "coco", {"train": "train.json", "val": "val.json"})


def test_a_self_supervised_head_learns_from_unlabelled_images(tmp_path: Path) -> None:
    boxes = {"name": "boxes", "annotations": "things", "objectDetection": {}}
    dataset = partly_labelled(tmp_path).open(boxes, VIEWS)
    assert dataset.train.images == tuple(f"images/{name}.png" for name in "abxy")
    assert dataset.val.images == ("images/v.png",)
    assert [dataset.train.labelled(head) for head in dataset.heads] == [2, 4]
    batch = first_batch(dataset)
    labelled = {name: bool(flag) for name, flag in zip(batch.names, batch.labelled["boxes"], strict=True)}
    assert labelled == {"images/a.png": True, "images/b.png": True, "images/x.png": False, "images/y.png": False}
    assert batch.labelled["views"].all()


def test_a_self_supervised_head_that_names_a_layer_adds_its_images_and_reads_no_boxes(tmp_path: Path) -> None:
    dataset = partly_labelled(tmp_path).open(VIEWS | {"annotations": "things"})
    assert dataset.train.images == ("images/a.png", "images/b.png")
    assert not dataset.heads[0].reads_annotations
    assert first_batch(dataset).targets["views"]["label"].tolist() == [-1] * 4


@pytest.mark.parametrize(("task", "key"), [("multiclass-classification", "label"), ("metric-learning", "identity")])
def test_labels_of_the_layer_are_used_for_scores(tmp_path: Path, task: str, key: str) -> None:
    folder = table(DatasetFolder(tmp_path), task, [{"image": "images/a.png", key: "cat"}], [{"image": "images/v.png", key: "dog"}])
    folder.image("images/x.png")
    other = {"name": "others", "autoencoding": {}}
    dataset = folder.open(VIEWS | {"annotations": task}, other)
    assert dataset.heads[0].labels.classes == ("cat", "dog")
    scored_with = f"and is scored with layer '{task}', which has 2 classes: cat, dog"
    assert f"head 'views' (view invariance) learns from every image, {scored_with}" in dataset.describe()
    batch = first_batch(dataset)
    for name, label in zip(batch.names, batch.targets["views"]["label"].tolist(), strict=True):
        assert label == (0 if name == "images/a.png" else -1)
    (scored,) = eval_batches(dataset.val, TRAINING, threads=1)
    assert scored.targets["views"]["label"].tolist() == [1]


def test_with_a_text_head_no_image_is_mirrored_or_cut(tmp_path: Path) -> None:
    folder = table(
        DatasetFolder(tmp_path),
        "text-recognition",
        [{"image": f"images/{number}.png", "text": "ab"} for number in range(8)],
        [{"image": "images/v.png", "text": "cab"}],
    )
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :4] = pixels[:4] = (255, 0, 0)  # red to the left and above
    for number in range(8):
        folder.image(f"images/{number}.png", pixels)
    dataset = folder.open({"name": "reader", "annotations": "text-recognition", "textRecognition": {}})
    assert "images are neither mirrored nor cropped, because these heads read text: reader" in dataset.describe()
    assert "head 'reader', train: 8 of 8 images labelled, 16 characters" in dataset.describe()
    wild = Training(
        batch_size=8,
        image_size=ImageSize(height=32, width=48),
        augmentation=Augmentation.model_validate({"scale": {"min": 0.5, "max": 4.0}, "color": 0}),
    )
    batch = first_batch(dataset, wild)
    assert batch.targets["reader"]["text"].tolist() == [[0, 1, -1, -1, -1, -1, -1, -1]] * 8
    for image in batch.images.numpy().astype(int):
        red = (image[0] > 150) & (image[1] < 90)
        rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
        assert len(rows) * 60 == pytest.approx(len(columns) * 40, rel=0.15), "all of it is there"
        assert red[rows[0]].sum() > 0.9 * len(columns), "red above"
        assert red[:, columns[0]].sum() > 0.9 * len(rows), "red to the left"


def test_values_come_in_their_own_units_with_which_are_known(tmp_path: Path) -> None:
    train = [{"image": "images/a.png", "angle": 10, "count": 3}, {"image": "images/b.png", "angle": None, "count": 5}]
    folder = table(
        DatasetFolder(tmp_path), "regression", train, [{"image": "images/v.png", "angle": 1, "count": 1}], values=["angle", "count"]
    )
    dataset = folder.open({"name": "numbers", "annotations": "regression", "regression": {}})
    (head,) = dataset.heads
    assert (head.labels.values, head.labels.means, head.labels.deviations) == (("angle", "count"), (10.0, 4.0), (1.0, 1.0))
    batch = first_batch(dataset)
    for name, values, known in zip(
        batch.names, *(batch.targets["numbers"][key].tolist() for key in ("values", "known")), strict=True
    ):
        assert (values, known) == (([10, 3], [True, True]) if name == "images/a.png" else ([0, 5], [False, True]))


def test_an_anomaly_head_sees_only_normal_images_in_training(tmp_path: Path) -> None:
    def lines(*names: str) -> list[dict[str, Any]]:
        return [{"image": f"images/{name}.png", "anomalous": name.startswith("bad")} for name in names]

    folder = table(DatasetFolder(tmp_path), "anomaly-detection", lines("good1", "bad1", "good2"), lines("good3", "bad2"))
    dataset = folder.open({"name": "odd", "annotations": "anomaly-detection", "anomalyDetection": {}})
    assert dataset.train.images == ("images/good1.png", "images/good2.png")
    assert dataset.val.images == ("images/bad2.png", "images/good3.png")
    assert "1 anomalous images left out of the train split: heads learn what is normal" in dataset.describe()
    (batch,) = eval_batches(dataset.val, TRAINING, threads=1)
    assert batch.targets["odd"]["anomalous"].tolist() == [True, False]
    assert batch.targets["odd"]["has_mask"].tolist() == [False, True]


def test_pixel_heads_get_which_pixels_an_image_has(tmp_path: Path) -> None:
    folder = table(
        DatasetFolder(tmp_path),
        "anomaly-detection",
        [{"image": "images/a.png", "anomalous": False}],
        [{"image": "images/b.png", "anomalous": True}],
    )
    folder.image("images/b.png", np.zeros((20, 60, 3), np.uint8))
    odd = {"name": "odd", "annotations": "anomaly-detection", "anomalyDetection": {}}
    dataset = folder.open(odd, {"name": "again", "autoencoding": {}})
    (batch,) = eval_batches(dataset.val, TRAINING, threads=1)
    for head in ("odd", "again"):
        (shown,) = batch.targets[head]["shown"].numpy()
        np.testing.assert_array_equal((batch.images[0].numpy() == 0).all(axis=0), shown, err_msg="black, but for padding")
        assert shown.any()
        assert not shown.all()


def test_keypoints_that_are_all_unlabelled_are_reported(tmp_path: Path) -> None:
    category = {"id": 1, "name": "cat", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}
    for split in ("train", "val"):
        content = coco(
            [f"{split}.png"], [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 50, "keypoints": [0] * 6}]
        )
        folder = DatasetFolder(tmp_path).image(f"images/{split}.png").json(f"{split}.json", content | {"categories": [category]})
    folder.layer("cats", "keypoint-detection", "coco", {"train": "train.json", "val": "val.json"})
    dataset = folder.open({"name": "cats", "annotations": "cats", "keypointDetection": {}})
    assert folder.said == [
        "WARNING: head 'cats' can learn only boxes: no object to train on in layer 'cats' has a labelled keypoint"
    ]
    assert dataset.heads[0].labels.skeleton == ((0, 1),)


def test_a_class_that_is_scored_but_not_trained_is_reported(tmp_path: Path) -> None:
    def lines(*labels: str) -> list[dict[str, Any]]:
        return [{"image": f"images/{label}{len(labels)}.png", "label": label} for label in labels]

    folder = table(DatasetFolder(tmp_path), "multiclass-classification", lines("cat", "dog"), lines("cat", "emu", "owl"))
    dataset = folder.open()
    assert folder.said == ["WARNING: head 'multiclass-classification' is scored on 2 classes that no training image has: emu, owl"]
    assert dataset.heads[0].labels.classes == ("cat", "dog", "emu", "owl")


def test_new_identities_in_val_are_not_reported(tmp_path: Path) -> None:
    train, val = [{"image": "images/a.png", "identity": "ann"}], [{"image": "images/b.png", "identity": "bob"}]
    folder = table(DatasetFolder(tmp_path), "metric-learning", train, val)
    folder.open()
    assert folder.said == []
