"""Datasets without dataset.json, and what Headrace recognises in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace_api.dataset import Manifest
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_testing.dataset_folder import DatasetFolder
from headrace_trainer.data.files import walk
from headrace_trainer.data.recognise import Recognised, recognise
from headrace_trainer.data.recognise.listing import UnclearError

BOX = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}
YAML = "train: images/train\nval: images/val\nnames: [cat]\n"


def folder_of(root: Path, *images: str) -> DatasetFolder:
    folder = DatasetFolder(root)
    for image in images:
        folder.image(image)
    return folder


def recognised(folder: DatasetFolder) -> Recognised:
    return recognise(folder.root, walk(folder.root))


def manifest_of(folder: DatasetFolder) -> dict[str, Any]:
    """Without the version, as the log shows it."""
    logged = recognised(folder).describe()[-1]
    assert Manifest.model_validate_json(logged) == recognised(folder).manifest
    content: dict[str, Any] = json.loads(logged)
    assert content.pop("version") == 1
    return content


def complaint_of(folder: DatasetFolder) -> str:
    with pytest.raises(FatalError) as caught:
        recognised(folder)
    assert caught.value.reason is Reason.BAD_DATASET
    return caught.value.message


def suggestion_of(folder: DatasetFolder) -> Manifest:
    with pytest.raises(UnclearError) as caught:
        recognised(folder)
    assert caught.value.suggestion is not None
    return caught.value.suggestion


def layer(name: str, task: str, format_: str, splits: dict[str, str], **fields: Any) -> dict[str, Any]:
    return {"name": name, "task": task, "format": format_, "splits": splits, **fields}


def yolo_folder(root: Path, line: str, yaml: str = YAML) -> DatasetFolder:
    folder = folder_of(root, "images/train/1.jpg", "images/val/2.jpg").text("data.yaml", yaml)
    return folder.text("labels/train/1.txt", line).text("labels/val/2.txt", "")
