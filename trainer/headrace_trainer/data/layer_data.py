"""What reading a layer returns, and what readers share: the split being read, class tables, JSON files."""

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from headrace_api.dataset import Layer, Part
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.data.annotations import Annotation
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.annotations.keypoint_table import KeypointTable
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.problems import BadSampleError, Problems, is_of_the_machine

SplitName = Literal["train", "val"]
_LINES = (".txt", ".names")
"""Suffixes of files with one class name per line, like YOLO's `classes.txt` and `obj.names`."""


@dataclass(frozen=True)
class LayerData:
    """A layer's content: what its numbers mean, and its annotations by split and image name."""

    classes: ClassTable
    """Identities for metric learning; empty for tasks without classes."""
    splits: Mapping[Part, Mapping[str, Annotation]]
    """Readers may return "all", which `formats.registry.divided` then divides into train and val."""
    keypoints: KeypointTable | None = None
    """For keypoint detection."""
    values: tuple[str, ...] = ()
    """Names of regression's numbers, in the order of ValueList.values."""
    alphabet: str | None = None
    """Characters for text recognition: dataset.json's, else those that occur."""


@dataclass(frozen=True)
class Source:
    """One split of a layer, while it is read."""

    layer: Layer
    split: Part
    files: DatasetFiles
    problems: Problems
    _claims: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The split's file or folder, as in dataset.json."""
        return self.layer.splits[self.split]

    @property
    def field(self) -> str:
        """How messages name the field that holds `path`."""
        return field_of(self.layer, f"splits.{self.split}")

    def folder(self) -> str:
        """`path`, if it is a folder; raises FatalError(BAD_DATASET) otherwise."""
        return self.files.folder(self.path, self.field)

    def file(self) -> str:
        """`path`, if it is a file; raises FatalError(BAD_DATASET) otherwise."""
        return self.files.file(self.path, self.field)

    def list_files(self, suffixes: str | tuple[str, ...], called: str) -> list[str]:
        """The split's files with one of these suffixes, sorted; raises FatalError(BAD_DATASET) if there are none."""
        names = sorted(name for name in self.files.walk(self.folder()) if name.lower().endswith(suffixes))
        if not names:
            wanted = suffixes if isinstance(suffixes, str) else ", ".join(suffixes)
            raise bad_layer(self.layer, f"no {called} ({wanted}) in '{self.path}'; {self.files.inside(self.folder())}")
        return names

    def image_for(self, reference: str, where: str) -> str:
        """Name of the image that `where` refers to as `reference`; raises BadSampleError if none or several fit, or it is taken."""
        # Per-image annotations are named after their image, in folders of their own: below the split's, or listed by its file.
        lies = posixpath.dirname(where) if reference == where and not where.startswith(f"{self.path}/") else self.path
        name = self.files.image_for(reference, where, self._hints, lies)
        if (first := self._claims.setdefault(name, where)) != where:
            raise BadSampleError(f"'{name}' already has annotations from {first}")
        return name

    @cached_property
    def _hints(self) -> tuple[str, ...]:
        """Folders its images may be in: "annotations/instances_train2017.json" and "labels/train2017" both suggest "train2017",
        "valid/_annotations.coco.json" and "valid/labels" both suggest "valid"."""
        stem = Path(self.path).stem
        return (self.split, stem, *stem.split("_"), *posixpath.dirname(self.path).split("/"))


def sources(layer: Layer, files: DatasetFiles, problems: Problems) -> list[Source]:
    """The splits of a layer."""
    return [Source(layer, split, files, problems) for split in layer.splits]


def bad_layer(layer: Layer, problem: str) -> FatalError:
    """The error for something wrong with a whole layer."""
    return FatalError(Reason.BAD_DATASET, f"layer '{layer.name}': {problem}")


def field_of(layer: Layer, name: str) -> str:
    """How messages name a field of a layer in dataset.json."""
    return f"dataset.json: layer '{layer.name}': {name}"


def class_table(layer: Layer, files: DatasetFiles) -> ClassTable | None:
    """The classes that dataset.json gives for `layer`; None if it gives none."""
    classes: Any = layer.classes
    where = field_of(layer, "classes")
    if isinstance(classes, str):
        classes, where = _class_names(class_file(layer, files), classes, where), f"{where}: {classes}"
    if classes is None:
        return None
    if isinstance(classes, Mapping):
        try:
            return ClassTable.of({int(class_id): str(name) for class_id, name in classes.items()})
        except (TypeError, ValueError) as error:
            raise FatalError(Reason.BAD_DATASET, f"{where}: expected whole numbers as ids; {error}") from error
    if isinstance(classes, list):
        return ClassTable.of(dict(enumerate(map(str, classes))))
    raise FatalError(Reason.BAD_DATASET, f"{where}: expected a list of names, or names by id; found {type(classes).__name__}")


def needed_class_table(layer: Layer, files: DatasetFiles) -> ClassTable:
    """The same for formats whose files have no class names."""
    if table := class_table(layer, files):
        return table
    raise FatalError(
        Reason.BAD_DATASET,
        f"{field_of(layer, 'classes')}: format {layer.format} needs class names: a list in order, names by id, or a file of them",
    )


def keypoint_table(
    layer: Layer, names: Sequence[str], mirrored: Sequence[int] | None = None, skeleton: Sequence[Sequence[int]] = ()
) -> KeypointTable:
    """The keypoints that dataset.json gives for `layer`; if it gives none, those of its files."""
    names = layer.keypoints or names
    if not names:
        raise FatalError(
            Reason.BAD_DATASET,
            f"{field_of(layer, 'keypoints')}: expected the keypoints' names in order, because the layer's files do not have them",
        )
    mirrored = layer.mirrored if layer.mirrored is not None else mirrored
    try:
        return KeypointTable.of(names, mirrored, layer.skeleton or skeleton, layer.sigmas)
    except ValueError as error:
        raise FatalError(Reason.BAD_DATASET, f"dataset.json: layer '{layer.name}': {error}") from None


def read_text(name: str, files: DatasetFiles) -> str:
    """A text file of the dataset, UTF-8 with or without a byte order mark; raises BadSampleError if it is not one."""
    try:
        return files.path(name).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        if is_of_the_machine(error):
            raise
        raise BadSampleError(f"{name}: not a text file: {error}") from error


def read_json(name: str, files: DatasetFiles) -> Any:
    """A JSON file of the dataset; raises FatalError(BAD_DATASET) with file, line and column if it is not JSON."""
    try:
        return json.loads(files.path(name).read_bytes())
    except ValueError as error:
        raise FatalError(Reason.BAD_DATASET, f"{name}: not JSON: {error}") from error


def class_file(layer: Layer, files: DatasetFiles) -> Any:
    """The content of the file that `classes` of dataset.json names: YAML, JSON or lines of text; None if it names none."""
    if not isinstance(layer.classes, str):
        return None
    where = field_of(layer, "classes")
    name = files.file(layer.classes, where)
    try:
        text = files.path(name).read_text("utf-8-sig")
        if name.endswith(_LINES):
            return [line.strip() for line in text.splitlines() if line.strip()]
        return yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FatalError(Reason.BAD_DATASET, f"{where}: {name} is neither YAML, JSON nor lines of UTF-8: {error}") from error


def _class_names(content: Any, name: str, where: str) -> Any:
    """`names` (as in YOLO's data.yaml) or `classes` from a file's content."""
    if not isinstance(content, Mapping):
        return content
    for key in ("names", "classes"):
        if key in content:
            return content[key]
    found = ", ".join(map(str, content)) or "nothing"
    raise FatalError(Reason.BAD_DATASET, f"{where}: {name} has no 'names'; it has: {found}")
