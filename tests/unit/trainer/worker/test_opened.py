"""What a job says about its dataset before it trains."""

from pathlib import Path
from typing import Any

import numpy as np

from headrace_api.run import HeadRecord, LayerRecord
from headrace_api.tasks import Task
from headrace_testing.dataset_folder import CATEGORIES, DatasetFolder
from headrace_testing.steps import CPU
from headrace_trainer.worker.device import machine
from headrace_trainer.worker.opened import MOST_CLASSES, describe_opened

HEADS: tuple[dict[str, Any], ...] = (
    {"name": "boxes", "annotations": "things", "objectDetection": {}},
    {"name": "tags", "annotations": "things", "multilabelClassification": {}},
    {"name": "regions", "annotations": "regions", "semanticSegmentation": {}},
    {"name": "views", "viewInvariance": {}},
)


def coco(objects: dict[str, list[int]]) -> dict[str, Any]:
    """COCO annotations; by image, the categories of its boxes."""
    images = [{"id": number, "file_name": image, "width": 60, "height": 40} for number, image in enumerate(objects)]
    found = [
        {"id": 10 * number + place, "image_id": number, "category_id": category, "bbox": [5, 5, 20, 20]}
        for number, categories in enumerate(objects.values())
        for place, category in enumerate(categories, 1)
    ]
    return {"images": images, "annotations": found, "categories": [{"id": key, "name": name} for key, name in CATEGORIES.items()]}


def test_it_counts_images_objects_and_classes_of_each_layer_once(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path)
    for image in ("images/a.png", "images/b.png", "images/c.png", "images/v.png"):
        folder.image(image)
    folder.json("train.json", coco({"images/a.png": [1, 1, 3], "images/b.png": []})).json("val.json", coco({"images/v.png": [1]}))
    folder.layer("things", "object-detection", "coco", {"train": "train.json", "val": "val.json"})
    folder.image("masks/train/a.png", np.zeros((40, 60), np.uint8)).image("masks/val/v.png", np.zeros((40, 60), np.uint8))
    folder.layer("regions", "semantic-segmentation", "mask-png", {"train": "masks/train", "val": "masks/val"}, classes={"0": "sky"})
    opened = describe_opened(folder.open(*HEADS), CPU)
    assert opened.images == {"train": 3, "val": 1}, "the self-supervised head learns from unlabelled images, too"
    assert opened.heads == [
        HeadRecord(name="boxes", task=Task.OBJECT_DETECTION),
        HeadRecord(name="tags", task=Task.MULTILABEL_CLASSIFICATION),
        HeadRecord(name="regions", task=Task.SEMANTIC_SEGMENTATION),
        HeadRecord(name="views", task=Task.VIEW_INVARIANCE),
    ]
    assert opened.layers == [
        LayerRecord(
            name="regions",
            task=Task.SEMANTIC_SEGMENTATION,
            images={"train": 1, "val": 1},
            classes={"train": {}, "val": {}},
            class_count=1,
        ),
        LayerRecord(
            name="things",
            task=Task.OBJECT_DETECTION,
            images={"train": 2, "val": 1},
            objects={"train": 3, "val": 1},
            classes={"train": {"cat": 2, "dog": 1}, "val": {"cat": 1}},
            class_count=2,
        ),
    ]
    assert opened.machine == machine(CPU)


def test_of_very_many_classes_it_names_the_most_frequent(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path)
    classes = [f"person-{number:04d}" for number in range(MOST_CLASSES + 50)]
    frequent = [classes[0], *classes[-3:]]
    for split in ("train", "val"):
        labels = {f"images/{split}-{place}.png": name for place, name in enumerate([*classes, *frequent])}
        for image in labels:
            folder.image(image)
        folder.text(f"{split}.csv", "image,label\n" + "".join(f"{image},{name}\n" for image, name in labels.items()))
    folder.layer("people", "multiclass-classification", "csv", {"train": "train.csv", "val": "val.csv"})
    head = {"name": "who", "annotations": "people", "multiclassClassification": {}}
    (layer,) = describe_opened(folder.open(head), CPU).layers
    assert layer.class_count == MOST_CLASSES + 50
    assert len(layer.classes["train"]) == MOST_CLASSES
    assert [layer.classes["train"][name] for name in frequent] == [2] * 4
    assert layer.classes["train"].keys() == layer.classes["val"].keys()
