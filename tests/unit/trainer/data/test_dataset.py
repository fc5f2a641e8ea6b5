"""Opening a dataset: the manifest, the splits, and which head has which labels."""

from pathlib import Path
from typing import Any

import pytest

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_testing.dataset_folder import DatasetFolder, coco, yolo_dataset
from headrace_trainer.data.batches.batch import empty_batch, write_row
from headrace_trainer.data.batches.sample import load_sample
from headrace_trainer.data.targets.geometry import letterbox
from headrace_trainer.tasks.objects import MOST_BOXES

LAYER = {"name": "things", "task": "object-detection", "format": "coco", "splits": {"train": "train.json", "val": "val.json"}}


def manifest(**fields: Any) -> dict[str, Any]:
    return {"version": 1, "layers": [LAYER], **fields}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", r"dataset\.json is not valid: the document is not JSON"),
        (manifest(version=2), r"dataset\.json is not valid: version: should be 1, but is 2"),
        (manifest(layers=[LAYER | {"format": "tfrecord"}]), r"layers\.0\.format: should be 'yolo', 'coco'"),
        (
            manifest(layers=[LAYER | {"task": "semantic-segmentation"}]),
            "format coco holds object-detection or instance-segmentation or keypoint-detection",
        ),
        (manifest(layers=[LAYER, LAYER]), "two layers share a name: things"),
        (manifest(colour=1), r"dataset\.json is not valid: colour: there is no such field"),
        (
            manifest(images="pictures"),
            r"images: expected a folder at 'pictures', found none; the dataset's root has: ",
        ),
        (manifest(images="../x"), r"dataset\.json: images: '\.\./x' leads out of the dataset"),
        (manifest(images="empty"), r"dataset\.json: images: no image in 'empty'; 'empty' is empty"),
        (
            manifest(),
            r"splits\.train: expected a file at 'train\.json', found none; the dataset's root has: ",
        ),
        (
            manifest(layers=[LAYER | {"splits": {"train": "/train.json"}}]),
            r"splits\.train: '/train\.json' leads out of the dataset",
        ),
    ],
)
def test_errors_in_a_manifest_are_reported(tmp_path: Path, content: Any, complaint: str) -> None:
    folder = DatasetFolder(tmp_path).image("images/a.png")
    folder.path("empty/x").parent.mkdir(exist_ok=True)
    folder = folder.text("dataset.json", content) if isinstance(content, str) else folder.json("dataset.json", content)
    with pytest.raises(FatalError, match=complaint) as caught:
        folder.open()
    assert caught.value.reason is Reason.BAD_DATASET


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path / "gone")
    folder.root.rmdir()
    with pytest.raises(FatalError, match="there is no such folder"):
        folder.open()


def coco_dataset(root: Path, layers: dict[str, dict[str, list[str]]]) -> DatasetFolder:
    """Layers of boxes, each with the images of each split; an image has one box."""
    folder = DatasetFolder(root)
    for layer, splits in layers.items():
        for split, images in splits.items():
            boxes = [{"image_id": number, "category_id": 1, "bbox": [1, 1, 9, 9]} for number in range(1, len(images) + 1)]
            folder.json(f"{layer}_{split}.json", coco(images, boxes))
            for image in images:
                folder.image(f"images/{image}")
        folder.layer(layer, "object-detection", "coco", {split: f"{layer}_{split}.json" for split in splits})
    return folder


def test_train_is_the_union_of_the_layers_and_labels_stay_apart(tmp_path: Path) -> None:
    layers = {"cats": {"train": ["a.png", "b.png"], "val": ["v.png"]}, "dogs": {"train": ["b.png", "c.png"]}}
    dataset = coco_dataset(tmp_path, layers).open()
    assert dataset.train.images == ("images/a.png", "images/b.png", "images/c.png")
    assert [dataset.train.labelled(head) for head in dataset.heads] == [2, 2]
    assert [dataset.val.labelled(head) for head in dataset.heads] == [1, 0]
    assert "images/a.png" not in dataset.train.annotations["dogs"]


def test_without_images_to_score_on_it_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="no image is in the split 'val': give at least one of the layers 'cats' a 'val'"):
        coco_dataset(tmp_path, {"cats": {"train": ["a.png"]}}).open()


def test_an_image_in_both_splits_is_taken_out_of_train_and_counted(tmp_path: Path) -> None:
    layers = {"cats": {"train": ["a.png", "b.png"], "val": ["v.png"]}, "dogs": {"train": ["v.png", "c.png"], "val": ["b.png"]}}
    dataset = coco_dataset(tmp_path, layers).open()
    assert dataset.train.images == ("images/a.png", "images/c.png")
    assert dataset.val.images == ("images/b.png", "images/v.png")
    assert "2 images are in both splits and were taken out of train" in dataset.describe()
    with pytest.raises(FatalError, match=r"no image is in the split 'train'.*with images that are not in 'val'"):
        coco_dataset(tmp_path / "all", {"cats": {"train": ["a.png"], "val": ["a.png"]}}).open()


def test_a_head_without_anything_to_learn_from_is_refused_and_named(tmp_path: Path) -> None:
    layers = {"cats": {"train": ["a.png"], "val": ["v.png"]}, "dogs": {"val": ["b.png"]}}
    heads = [{"name": f"{layer}-head", "annotations": layer, "objectDetection": {}} for layer in layers]
    with pytest.raises(FatalError, match="head 'dogs-head': layer 'dogs' has no labelled image to train on") as caught:
        coco_dataset(tmp_path / "val-only", layers).open(*heads)
    assert caught.value.reason is Reason.BAD_DATASET
    assert "taken out" not in caught.value.message

    layers["dogs"] = {"train": ["c.png", "d.png"], "val": ["b.png"]}
    layers["cats"]["val"] = ["c.png", "d.png"]
    with pytest.raises(
        FatalError, match="layer 'dogs' has no labelled image to train on: 2 of its images were taken out"
    ) as caught:
        coco_dataset(tmp_path / "taken-out", layers).open(*heads)
    assert caught.value.reason is Reason.BAD_DATASET


def test_a_head_without_anything_to_score_on_is_reported_to_get_no_score(tmp_path: Path) -> None:
    folder = coco_dataset(tmp_path, {"cats": {"train": ["a.png"], "val": ["v.png"]}, "dogs": {"train": ["b.png"]}})
    folder.open()
    (warning,) = folder.said
    assert warning.startswith("WARNING: head 'dogs' will have no score: layer 'dogs' has no labelled image to score on")


def test_a_detection_head_without_a_single_object_is_reported(tmp_path: Path) -> None:
    folder = yolo_dataset(tmp_path, {"a": "", "b": ""})
    tags = {"name": "tags", "annotations": "things", "multilabelClassification": {}}
    boxes = {"name": "boxes", "annotations": "things", "objectDetection": {}}
    folder.open(tags, boxes)
    assert folder.said == [
        "WARNING: head 'boxes' can learn only that nothing is there: none of the 2 labelled training images of layer 'things' "
        "has an object"
    ]


def test_describe_says_what_each_head_learns_from(tmp_path: Path) -> None:
    folder = coco_dataset(tmp_path, {"cats": {"train": ["a.png", "b.png"], "val": ["v.png"]}, "dogs": {"train": ["c.png"]}})
    head = {"name": "tags", "annotations": "cats", "multilabelClassification": {}}
    boxes = {"name": "boxes", "annotations": "cats", "objectDetection": {}}
    assert folder.open(head, boxes).describe() == [
        "2 images to train on, 1 to score on",
        "head 'tags' (multilabel classification) learns from layer 'cats', converted: "
        "object detection → multilabel classification; 2 classes: cat, dog",
        "head 'tags', train: 2 of 2 images labelled, 2 objects",
        "head 'tags', val: 1 of 1 image labelled, 1 object",
        "head 'boxes' (object detection) learns from layer 'cats'; 2 classes: cat, dog",
        "head 'boxes', train: 2 of 2 images labelled, 2 objects",
        "head 'boxes', val: 1 of 1 image labelled, 1 object",
        "layers that no head uses: dogs",
    ]


def test_a_layer_that_no_head_uses_is_not_read(tmp_path: Path) -> None:
    folder = coco_dataset(tmp_path, {"cats": {"train": ["a.png"], "val": ["v.png"]}})
    folder.layer("broken", "object-detection", "coco", {"train": "gone.json"})
    folder.open({"name": "boxes", "annotations": "cats", "objectDetection": {}})


def test_heads_that_fit_no_layer_end_the_job_before_anything_is_read(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path).layer("cats", "object-detection", "coco", {"train": "gone.json"})
    with pytest.raises(FatalError) as caught:
        folder.open({"name": "map", "annotations": "cats", "semanticSegmentation": {}})
    assert caught.value.reason is Reason.NO_CONVERSION


def test_boxes_are_padded_to_the_most_per_image_up_to_a_limit(tmp_path: Path) -> None:
    line = "0 0.5 0.5 0.5 0.5\n"
    assert yolo_dataset(tmp_path / "few", {"a": line * 9, "b": ""}).open().train.padding == {"things": 16}
    folder = yolo_dataset(tmp_path / "many", {"a": line * (MOST_BOXES + 50)}).text("labels/val/v.txt", line * (MOST_BOXES + 50))
    dataset = folder.open()
    assert dataset.train.padding == {"things": MOST_BOXES}
    assert dataset.val.padding == {"things": 352}, "scores count every object"
    learnt = "the head learns from the 300 largest in a crop and ignores others, like crowds"
    assert folder.said == [f"head 'things': an image of layer 'things' has 350 objects; {learnt}"]


def test_boxes_beyond_the_limit_reach_the_batch_as_ignored(tmp_path: Path) -> None:
    large, small = "0 0.5 0.5 0.5 0.5\n", "0 0.25 0.25 0.25 0.25\n"
    dataset = yolo_dataset(tmp_path, {"a": large * MOST_BOXES + small * 50, "b": small}).open()
    assert dataset.train.beyond == {"things": 50}
    assert not dataset.val.beyond
    batch = empty_batch(dataset.train, 2, (64, 64))
    for row in range(2):
        write_row(batch, row, load_sample(dataset.train, row, (64, 64), lambda size: letterbox(size, (64, 64))))
    targets = batch.targets["things"]
    assert targets["valid"].sum(dim=1).tolist() == [MOST_BOXES, 1]
    beyond, without = targets["beyond"]
    assert len(beyond.unique(dim=0)) == 1
    left, top, right, bottom = beyond[0].tolist()
    shown_left, shown_top, shown_right, shown_bottom = targets["boxes"][0, 0].tolist()
    assert (right - left) * 2 == shown_right - shown_left
    assert (bottom - top) * 2 == shown_bottom - shown_top
    assert not without.any()
    assert "beyond" not in empty_batch(dataset.val, 1, (64, 64)).targets["things"]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    folder = yolo_dataset(tmp_path / "real", {"a": ""})
    linked = DatasetFolder(tmp_path / "linked").json("dataset.json", {"version": 1, "layers": folder.layers})
    for name in ("images", "labels"):
        linked.path(name).symlink_to(folder.path(name))
    folder.path("images/loop").symlink_to(folder.path("images"))
    assert linked.open().train.images == ("images/train/a.png",)
