"""YOLO text files, one per image, in fractions of its width and height. The task decides what a line holds:

    object detection            class cx cy w h
    instance segmentation       class x y x y x y …
    keypoint detection          class cx cy w h, then for each keypoint x y visibility (0, 1, 2), or x y ("pose")
    quadrilateral detection     class x1 y1 x2 y2 x3 y3 x4 y4 ("OBB")

https://docs.ultralytics.com/datasets/detect/, …/segment/, …/pose/, …/obb/. A split is a folder of them, or a list of images, a path
per line (`train.txt`), whose labels are where YOLO looks for them: in the folder `labels` in place of `images`, or beside each
image. An empty file is a negative; an image without a file is unlabelled, even if listed. `classes.txt` does not count: annotation
tools write class names to it, beside the labels. A line of polygons may hold several rings, each ending with its own first point
again (exporters write objects in several parts this way); the instance is their union, with holes filled. In a layer of boxes, a
polygon counts as the box around it. Keypoints at (0, 0) or with a negative coordinate are not labelled. Their names, how mirroring
swaps them (`flip_idx`) and their number (`kpt_shape`) come from the class file, data.yaml, unless dataset.json has them. Corners
keep their order.
"""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from headrace_api.dataset import Layer
from headrace_api.tasks import Task
from headrace_trainer.data.annotations import Annotation, BoxList, InstanceList, KeypointList, QuadList, Rings
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.annotations.inside import clip_boxes, quads_inside, rings_inside, seen_inside
from headrace_trainer.data.annotations.keypoint_table import AREA_OF_BOX, KeypointTable
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import (
    LayerData,
    Source,
    bad_layer,
    class_file,
    keypoint_table,
    needed_class_table,
    read_text,
    sources,
)
from headrace_trainer.data.problems import BadSampleError, Problems
from headrace_trainer.data.targets import Array
from headrace_trainer.data.targets.quad_geometry import clean_quads

_WHOLE_IMAGE = (1, 1)
_FARTHEST = 2.0
"""Coordinates beyond this are undivided pixels, not objects that extend outside the image."""
_NO_FILE = "listed images without a label file, left unlabelled (an empty file marks a negative)"
_CLASS_NAMES = "classes.txt"
_LEADING = re.compile(r"^([A-Za-z]:)?[./]*/")
"""The start of an absolute path, or of one relative to "." or "..": "/", "C:/", "./", "../../"."""

FileReader = Callable[[str, Source, ClassTable], Annotation]
"""Takes the name of a label file."""


def read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """Read every label file of each split."""
    classes = needed_class_table(layer, files)
    keypoints = _keypoint_table(layer, files) if layer.task is Task.KEYPOINT_DETECTION else None
    read_file = _file_reader(layer.task, keypoints)
    splits = {source.split: _read_split(source, classes, read_file) for source in sources(layer, files, problems)}
    return LayerData(classes, splits, keypoints)


def _file_reader(task: Task, keypoints: KeypointTable | None) -> FileReader:
    if keypoints is not None:
        return partial(_read_keypoints, keypoints)
    readers: dict[Task, FileReader] = {
        Task.OBJECT_DETECTION: _read_boxes,
        Task.INSTANCE_SEGMENTATION: _read_instances,
        Task.QUADRILATERAL_DETECTION: _read_quads,
    }
    return readers[task]


def _keypoint_table(layer: Layer, files: DatasetFiles) -> KeypointTable:
    """Names come from `kpt_names` (of the first class), else they are numbers from 0, as many as `kpt_shape`[0]."""
    content = class_file(layer, files)
    pose: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
    try:
        count = int(pose.get("kpt_shape", (0,))[0])
        names = [str(name) for name in next(iter((pose.get("kpt_names") or {0: range(count)}).values()))]
        mirrored = [int(index) for index in pose["flip_idx"]] if pose.get("flip_idx") else None
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise bad_layer(
            layer, f"{layer.classes}: expected kpt_shape [number, 2 or 3], flip_idx a list, kpt_names lists by class; {error!r}"
        ) from None
    return keypoint_table(layer, names, mirrored)


def label_files(image: str) -> tuple[str, str]:
    """Where YOLO looks for an image's labels: its path with the last folder `images` renamed `labels`, then beside the image."""
    return labels_folder(posixpath.splitext(image)[0]) + ".txt", posixpath.splitext(image)[0] + ".txt"


def is_label_file(name: str) -> bool:
    """Whether a text file may hold an image's labels, not class names."""
    return name.endswith(".txt") and posixpath.basename(name) != _CLASS_NAMES


def labels_folder(images: str) -> str:
    """A path with the last folder `images` renamed `labels`."""
    parts = images.split("/")
    for position in reversed(range(len(parts))):
        if parts[position] == "images":
            return "/".join([*parts[:position], "labels", *parts[position + 1 :]])
    return images


def listed_images(text: str) -> list[str]:
    """The images that a list names, once each, without the start of paths that leads to another machine's folders."""
    lines = (line.strip().replace("\\", "/") for line in text.splitlines())
    return list(dict.fromkeys(_LEADING.sub("", line) for line in lines if line))


def _read_split(source: Source, classes: ClassTable, read_file: FileReader) -> dict[str, Annotation]:
    annotations: dict[str, Annotation] = {}
    for reference, where in _labels(source):
        name = reference
        try:
            name = source.image_for(reference, where)
            annotations[name] = read_file(where, source, classes)
        except BadSampleError as problem:
            source.problems.bad(name, problem)
    return annotations


def _labels(source: Source) -> Iterator[tuple[str, str]]:
    """References to images, and their label files."""
    if not source.path.endswith(".txt"):
        yield from ((where, where) for where in source.list_files(".txt", "label file") if is_label_file(where))
        return
    list_file = source.file()
    try:
        references = listed_images(read_text(list_file, source.files))
    except BadSampleError as problem:
        raise bad_layer(source.layer, str(problem)) from None
    if not references:
        raise bad_layer(source.layer, f"{list_file}: expected the path of an image on each line; the file is empty")
    for reference in references:
        try:
            image = source.files.image_for(reference, list_file, (source.split,))
        except BadSampleError as problem:
            source.problems.bad(f"{list_file}: {reference}", problem)
            continue
        where = next((one for one in label_files(image) if source.files.path(one).is_file()), None)
        source.problems.mended(_NO_FILE, where is None)
        if where is not None:
            yield image, where


def _read_boxes(where: str, source: Source, classes: ClassTable) -> BoxList:
    boxes, indices = [], []
    for number, index, values in _lines(where, source, classes):
        if len(values) == 4:
            boxes.append(_corners(values, f"{where}:{number}"))
        elif len(values) >= 6 and len(values) % 2 == 0:
            boxes.append((min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])))
        else:
            raise BadSampleError(f"{where}:{number}: expected a class and 4 numbers (cx cy w h); found {len(values)} numbers")
        indices.append(index)
    kept, inside = clip_boxes(np.array(boxes, np.float32).reshape(-1, 4), _WHOLE_IMAGE, source.problems)
    return BoxList(
        inside, normalised=True, classes=np.array(indices, np.int64)[kept], crowd=np.zeros(len(inside), np.bool_), where=where
    )


def _corners(values: list[float], where: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom from a centre and sides."""
    x, y, width, height = values
    if width < 0 or height < 0:
        raise BadSampleError(f"{where}: expected width and height of at least 0; found {width} and {height}")
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _read_instances(where: str, source: Source, classes: ClassTable) -> InstanceList:
    shapes, indices = [], []
    for number, index, values in _lines(where, source, classes):
        if len(values) < 6 or len(values) % 2:
            raise BadSampleError(f"{where}:{number}: expected a class and at least 3 points (x y); found {len(values)} numbers")
        rings = rings_inside(split_rings(np.array(values, np.float32).reshape(-1, 2)), _WHOLE_IMAGE)
        if not rings:
            source.problems.mended("instances dropped: no mask inside their image")
            continue
        shapes.append(Rings(rings, normalised=True))
        indices.append(index)
    return InstanceList(shapes, classes=np.array(indices, np.int64), crowd=np.zeros(len(indices), np.bool_), where=where)


def _read_keypoints(table: KeypointTable, where: str, source: Source, classes: ClassTable) -> KeypointList:
    count = len(table.names)
    boxes, indices, points, visibility = [], [], [], []
    for number, index, values in _lines(where, source, classes):
        if len(values) not in {4 + 2 * count, 4 + 3 * count}:
            raise BadSampleError(
                f"{where}:{number}: expected a class, a box and {count} keypoints of 2 or 3 numbers; found {len(values)} numbers"
            )
        boxes.append(_corners(values[:4], f"{where}:{number}"))
        indices.append(index)
        placed = np.array(values[4:], np.float32).reshape(count, -1)
        seen = placed[:, 2] if placed.shape[1] == 3 else np.full(count, 2.0)
        if not np.isin(seen, (0, 1, 2)).all():
            raise BadSampleError(f"{where}:{number}: expected 0, 1 or 2 as visibility of a keypoint; found {seen.tolist()}")
        nowhere = (placed[:, :2] < 0).any(axis=1) | (placed[:, :2] == 0).all(axis=1)
        points.append(placed[:, :2])
        visibility.append(np.where(nowhere, 0, seen))
    kept, inside = clip_boxes(np.array(boxes, np.float32).reshape(-1, 4), _WHOLE_IMAGE, source.problems)
    stack = np.array(points, np.float32).reshape(len(boxes), count, 2)
    seen_at = np.array(visibility, np.int64).reshape(len(boxes), count)
    return KeypointList(
        table,
        inside,
        stack[kept],
        seen_inside(stack, seen_at, _WHOLE_IMAGE, source.problems)[kept],
        AREA_OF_BOX * np.prod(inside[:, 2:] - inside[:, :2], axis=1),
        normalised=True,
        classes=np.array(indices, np.int64)[kept],
        crowd=np.zeros(len(inside), np.bool_),
        where=where,
    )


def _read_quads(where: str, source: Source, classes: ClassTable) -> QuadList:
    quads, indices = [], []
    for number, index, values in _lines(where, source, classes):
        if len(values) != 8:
            raise BadSampleError(f"{where}:{number}: expected a class and 4 corners (x y); found {len(values)} numbers")
        quads.append(values)
        indices.append(index)
    corners = np.array(quads, np.float32).reshape(-1, 4, 2)
    inside = quads_inside(corners, _WHOLE_IMAGE, source.problems)
    kept, usable = clean_quads(corners[inside], source.problems)
    classes_of = np.array(indices, np.int64)[inside][kept]
    return QuadList(usable, normalised=True, classes=classes_of, crowd=np.zeros(len(usable), np.bool_), where=where)


def split_rings(points: Array) -> tuple[Array, ...]:
    """The rings of a line's points [k, 2]: each ends where its first point repeats. Rings of under three points are dropped."""
    rings = []
    start = 0
    while start < len(points):
        again = np.flatnonzero((points[start + 1 :] == points[start]).all(axis=1))
        end = start + 1 + int(again[0]) if len(again) else len(points)
        if end - start >= 3:
            rings.append(points[start:end])
        start = end + 1
    return tuple(rings)


def _lines(where: str, source: Source, classes: ClassTable) -> Iterator[tuple[int, int, list[float]]]:
    """Line number (from 1), class index and numbers of each line that is not blank."""
    for number, line in enumerate(read_text(where, source.files).splitlines(), start=1):
        if not line or line.isspace():
            continue
        try:
            class_id, *values = map(float, line.split())
        except ValueError:
            raise BadSampleError(f"{where}:{number}: expected numbers; found '{line[:60]}'") from None
        if not class_id.is_integer():
            raise BadSampleError(f"{where}:{number}: expected a whole number as class; found {class_id}")
        if not all(-_FARTHEST <= value <= _FARTHEST for value in values):  # false for NaN too
            raise BadSampleError(f"{where}:{number}: expected fractions of the image's sides, 0 to 1; found '{line[:60]}'")
        try:
            index = classes.index(int(class_id))
        except BadSampleError as problem:
            raise BadSampleError(f"{where}:{number}: {problem}") from None
        yield number, index, values
