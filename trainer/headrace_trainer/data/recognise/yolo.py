"""YOLO's data.yaml (or config.yaml): class names, and for each split a folder of images with the folder of labels beside it, or a
list of images.

The lines of some label files tell what they hold: 4 numbers after the class are a box, more are polygons. If all have 8, polygons
of four points and oriented boxes look alike, which is an error. `kpt_shape` says that they are keypoints.
"""

import itertools
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from headrace_api.dataset import Layer
from headrace_api.tasks import Task
from headrace_trainer.data.formats.yolo import is_label_file, label_files, labels_folder, listed_images
from headrace_trainer.data.recognise.listing import Layout, Listing, UnclearError, splits_from

_FILES_LOOKED_INTO = 200
_FOLDERS_LOOKED_INTO = 50
_FILES_OF_A_FOLDER = 5
_TASKS = {
    "detect": Task.OBJECT_DETECTION,
    "segment": Task.INSTANCE_SEGMENTATION,
    "pose": Task.KEYPOINT_DETECTION,
    "obb": Task.QUADRILATERAL_DETECTION,
}
"""Ultralytics' words for `task`, which a few files have."""


def find(listing: Listing) -> Iterator[Layout]:
    """A layer for each file that names classes and images to train on."""
    found = {name: content for name in listing.ending(".yaml", ".yml") if (content := _content(name, listing)) is not None}
    unclear: list[str] = []
    for name, content in found.items():
        layer = posixpath.basename(posixpath.dirname(name)) if len(found) > 1 else ""
        try:
            yield _layout(name, content, layer or "objects", listing)
        except UnclearError as error:
            unclear += error.seen
    if unclear:
        raise UnclearError(*unclear)


def unnamed_labels(listing: Listing) -> tuple[str, ...]:
    """Folders of what look like YOLO labels, for datasets in which nothing names their classes."""
    folders: dict[str, list[str]] = {}
    for name in filter(is_label_file, listing.ending(".txt")):
        folders.setdefault(posixpath.dirname(name), []).append(name)
    first = itertools.islice(folders.items(), _FOLDERS_LOOKED_INTO)
    return tuple(folder or "." for folder, names in first if _looks_like_labels(names, listing))


def _looks_like_labels(names: list[str], listing: Listing) -> bool:
    """Whether every line of the first files is a class and at least four numbers."""
    lines = [line.split() for name in names[:_FILES_OF_A_FOLDER] for line in listing.text(name).splitlines() if line.strip()]
    try:
        return bool(lines) and all(int(line[0]) >= 0 and len([float(number) for number in line[1:]]) >= 4 for line in lines)
    except ValueError:
        return False


def _layout(name: str, content: Mapping[str, Any], layer: str, listing: Listing) -> Layout:
    places = {split: _place(name, content, split, listing) for split in ("train", "val") if content.get(split)}
    notes = []
    if places.get("val") == places["train"]:
        notes.append(f"{name}: train and val are the same images, so they are divided")
        places.pop("val")
    splits = splits_from(places)
    task = _task(name, content, splits.values(), listing)
    if content.get("test"):
        notes.append(f"not used: test of {name}, {content['test']}")
    made = Layer(name=layer, task=task, format="yolo", splits=splits, classes=name)
    return Layout("YOLO", (name, *places.values()), (made,), tuple(notes))


def _content(name: str, listing: Listing) -> Mapping[str, Any] | None:
    try:
        content = yaml.safe_load(listing.text(name))
    except yaml.YAMLError:
        return None
    return content if isinstance(content, Mapping) and content.get("names") and content.get("train") else None


def _place(name: str, content: Mapping[str, Any], split: str, listing: Listing) -> str:
    """The folder of a split's labels, or its list of images.

    The labels' folder is the images' folder with the last "images" in its path renamed "labels".
    """
    value = content[split]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise _unclear(f"{name}: {split} is {value!r}; expected one folder, or one list of images")
    base = posixpath.dirname(name)
    tried = []
    for start in dict.fromkeys((posixpath.join(base, str(content.get("path") or "")), base, "")):
        place = posixpath.normpath(posixpath.join(start, value)).strip("/")
        while place.startswith("../"):
            place = place.removeprefix("../")
        if value.endswith(".txt"):
            if place in listing.names:
                return place
            tried.append(place)
            continue
        labels = labels_folder(place)
        if labels in listing.folders and any(one.endswith(".txt") for one in listing.below(labels)):
            return labels
        tried.append(labels)
    expected = " or ".join(dict.fromkeys(tried))
    what = "a list of images, expected at" if value.endswith(".txt") else "whose labels are expected in"
    raise _unclear(f"{name}: {split} is '{value}', {what} {expected}; found none")


def _task(name: str, content: Mapping[str, Any], places: Any, listing: Listing) -> Task:
    if (said := _TASKS.get(str(content.get("task")))) is not None:
        return said
    if content.get("kpt_shape"):
        return Task.KEYPOINT_DETECTION
    numbers = set(_numbers_a_line(places, listing))
    if not numbers or numbers == {4}:
        return Task.OBJECT_DETECTION
    if numbers == {8}:
        raise _unclear(f"{name}: all its labels have four points; set `task` in it to segment (polygons) or obb (oriented boxes)")
    return Task.INSTANCE_SEGMENTATION


def _numbers_a_line(places: Any, listing: Listing) -> Iterator[int]:
    """How many numbers follow the class, in the lines of the first label files."""
    for place in places:
        for label in itertools.islice(_label_files(place, listing), _FILES_LOOKED_INTO):
            yield from (len(line.split()) - 1 for line in listing.text(label).splitlines() if line.strip())


def _label_files(place: str, listing: Listing) -> Iterator[str]:
    """The label files in a folder, or of listed images that can be found by their names alone."""
    if not place.endswith(".txt"):
        yield from filter(is_label_file, listing.below(place))
        return
    by_name = {posixpath.basename(image): image for image in listing.images}
    for reference in listed_images(listing.text(place)):
        image = reference if reference in listing.names else by_name.get(posixpath.basename(reference), reference)
        yield from itertools.islice((one for one in label_files(image) if one in listing.names), 1)


def _unclear(problem: str) -> UnclearError:
    return UnclearError(f"YOLO by {problem}")
