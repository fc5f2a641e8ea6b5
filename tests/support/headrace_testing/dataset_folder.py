"""Builds small datasets on disk, in the formats that people have, and opens them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from headrace_api import model
from headrace_trainer.data.dataset import Dataset, open_dataset

HEIGHT, WIDTH = 40, 60
"""Default size of an image: not square, so that swapped axes show."""


CATEGORIES = {1: "cat", 3: "dog"}


class DatasetFolder:
    """A dataset under `root`. Each method writes a file and returns the folder, so you can chain calls."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said: list[str] = []
        self.layers: list[dict[str, Any]] = []
        root.mkdir(parents=True, exist_ok=True)

    def image(self, name: str, pixels: np.ndarray | None = None, *, mode: str = "RGB", **options: Any) -> "DatasetFolder":
        """An image file; without `pixels`, a grey one of HEIGHT × WIDTH. `options` are passed to Pillow's save."""
        path = self.path(name)
        if pixels is None:
            Image.new(mode, (WIDTH, HEIGHT), 128 if mode in {"L", "P"} else None).save(path, **options)
        else:
            Image.fromarray(pixels).save(path, **options)
        return self

    def text(self, name: str, content: str) -> "DatasetFolder":
        """A text file."""
        self.path(name).write_text(content)
        return self

    def json(self, name: str, content: Any) -> "DatasetFolder":
        """A JSON file."""
        return self.text(name, json.dumps(content))

    def layer(self, name: str, task: str, format_: str, splits: Mapping[str, str], **fields: Any) -> "DatasetFolder":
        """Add a layer to dataset.json, and write it."""
        self.layers.append({"name": name, "task": task, "format": format_, "splits": dict(splits), **fields})
        return self.json("dataset.json", {"version": 1, "layers": self.layers})

    def path(self, name: str) -> Path:
        """Where a file of the dataset goes; makes its folder."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def open(self, *heads: dict[str, Any], max_bad_images: int = 0) -> Dataset:
        """Open it for these heads, by default one per layer; messages go to `said`."""
        network = model.Network.model_validate({"backbone": {"name": "resnet18"}, "heads": list(heads)})
        return open_dataset(self.root, network, max_bad_images, self.said.append)


def coco(
    images: Sequence[str], annotations: Sequence[dict[str, Any]] = (), categories: Mapping[int, str] = MappingProxyType(CATEGORIES)
) -> dict[str, Any]:
    """A COCO file of images of HEIGHT × WIDTH; images and annotations get the ids 1, 2, …"""
    size = {"height": HEIGHT, "width": WIDTH}
    return {
        "images": [{"id": number, "file_name": name, **size} for number, name in enumerate(images, start=1)],
        "annotations": [{"id": number, "iscrowd": 0, **annotation} for number, annotation in enumerate(annotations, start=1)],
        "categories": [{"id": number, "name": name} for number, name in categories.items()],
    }


def yolo_dataset(root: Path, labels: Mapping[str, str], classes: Sequence[str] = ("cat", "dog")) -> DatasetFolder:
    """A dataset of YOLO boxes: the text of each train image's label file by stem; one negative as val."""
    folder = DatasetFolder(root)
    for stem, text in labels.items():
        folder.image(f"images/train/{stem}.png").text(f"labels/train/{stem}.txt", text)
    folder.image("images/val/v.png").text("labels/val/v.txt", "")
    splits = {"train": "labels/train", "val": "labels/val"}
    return folder.layer("things", "object-detection", "yolo", splits, classes=list(classes))
