"""YOLO's data.yaml (or config.yaml): class names, and for each split the folder of images, beside which lies that of labels.

What the labels are is told by the lines of some of them: 4 numbers after the class are a box, more are polygons, and where all have
8, polygons of four points and oriented boxes look alike, which is an error. `kpt_shape` says that they are keypoints.
"""

import itertools
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from headrace_api.dataset import Layer
from headrace_api.tasks import Task
from headrace_trainer.data.recognise.listing import Layout, Listing, UnclearError, splits_from

_FILES_LOOKED_INTO = 200
_TASKS = {
    "detect": Task.OBJECT_DETECTION,
    "segment": Task.INSTANCE_SEGMENTATION,
    "pose": Task.KEYPOINT_DETECTION,
    "obb": Task.QUADRILATERAL_DETECTION,
}
"""Ultralytics' words for `task`, which a few files have."""


def find(listing: Listing) -> Layout | None:
    """The layer of the one file that names classes and a folder to train on."""
    found = {name: content for name in listing.ending(".yaml", ".yml") if (content := _content(name, listing)) is not None}
    if not found:
        return None
    if len(found) > 1:
        raise UnclearError(*(f"YOLO by {name}" for name in found))
    ((name, content),) = found.items()
    folders = {split: _labels(name, content, split, listing) for split in ("train", "val") if content.get(split)}
    notes = []
    if folders.get("val") == folders["train"]:
        notes.append(f"{name}: train and val are the same folder, which is divided")
        folders.pop("val")
    splits = splits_from(folders)
    task = _task(name, content, splits.values(), listing)
    layer = Layer(name="objects", task=task, format="yolo", splits=splits, classes=name)
    if content.get("test"):
        notes.append(f"not used: test of {name}, {content['test']}")
    return Layout("YOLO", (name, *folders.values()), (layer,), tuple(notes))


def _content(name: str, listing: Listing) -> Mapping[str, Any] | None:
    try:
        content = yaml.safe_load(listing.text(name))
    except yaml.YAMLError:
        return None
    return content if isinstance(content, Mapping) and content.get("names") and content.get("train") else None


def _labels(name: str, content: Mapping[str, Any], split: str, listing: Listing) -> str:
    """The folder of a split's labels: that of its images with the last "images" of its path made "labels"."""
    value = content[split]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise _unclear(f"{name}: {split} is {value!r}; expected one folder")
    if value.endswith(".txt"):
        raise _unclear(f"{name}: {split} is a list of images, {value}; expected a folder")
    base = posixpath.dirname(name)
    tried = []
    for start in dict.fromkeys((posixpath.join(base, str(content.get("path") or "")), base, "")):
        images = posixpath.normpath(posixpath.join(start, value)).strip("/")
        while images.startswith("../"):
            images = images.removeprefix("../")
        labels = _beside(images)
        if labels in listing.folders and any(one.endswith(".txt") for one in listing.below(labels)):
            return labels
        tried.append(labels)
    expected = " or ".join(dict.fromkeys(tried))
    raise _unclear(f"{name}: {split} is '{value}', whose labels are expected in {expected}; none is there")


def _beside(images: str) -> str:
    parts = images.split("/")
    for position in reversed(range(len(parts))):
        if parts[position] == "images":
            return "/".join([*parts[:position], "labels", *parts[position + 1 :]])
    return images


def _task(name: str, content: Mapping[str, Any], folders: Any, listing: Listing) -> Task:
    if (said := _TASKS.get(str(content.get("task")))) is not None:
        return said
    if content.get("kpt_shape"):
        return Task.KEYPOINT_DETECTION
    numbers = set(_numbers_a_line(folders, listing))
    if not numbers or numbers == {4}:
        return Task.OBJECT_DETECTION
    if numbers == {8}:
        raise _unclear(f"{name}: all its labels have four points, which may be polygons (segment) or oriented boxes (obb)")
    return Task.INSTANCE_SEGMENTATION


def _numbers_a_line(folders: Any, listing: Listing) -> Iterator[int]:
    """How many numbers stand after the class, in the lines of the first label files."""
    for folder in folders:
        labels = (one for one in listing.below(folder) if one.endswith(".txt"))
        for label in itertools.islice(labels, _FILES_LOOKED_INTO):
            yield from (len(line.split()) - 1 for line in listing.text(label).splitlines() if line.strip())


def _unclear(problem: str) -> UnclearError:
    return UnclearError(f"YOLO by {problem}")
