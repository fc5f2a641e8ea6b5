"""YOLO text files, one an image, with shares of its width and height: boxes `class cx cy w h`, or polygons `class x y x y x y …`.

https://docs.ultralytics.com/datasets/detect/, …/segment/. An empty file is a negative; an image without a file is unlabelled.
A line of polygons may hold several rings, each of which ends by repeating its own first point (so exporters write objects in
several parts); the instance is their union, holes filled. In a layer of boxes, a polygon counts as the box around it.
"""

from collections.abc import Iterator

import numpy as np

from headrace_api.dataset import Layer
from headrace_api.tasks import Task
from headrace_trainer.data.annotations import Annotation, BoxList, InstanceList, Rings
from headrace_trainer.data.classes import ClassTable
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.formats.coco import clip_boxes
from headrace_trainer.data.layer_data import LayerData, Source, needed_class_table, sources
from headrace_trainer.data.problems import BadSampleError, Problems, is_of_the_machine
from headrace_trainer.data.targets import Array

_WHOLE_IMAGE = (1, 1)
_FARTHEST = 2.0
"""Coordinates beyond this are pixels that somebody forgot to divide, not objects that reach out of the image."""


def read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """Read every label file of each split."""
    classes = needed_class_table(layer, files)
    return LayerData(classes, {source.split: _read_split(source, classes) for source in sources(layer, files, problems)})


def _read_split(source: Source, classes: ClassTable) -> dict[str, Annotation]:
    read_file = _read_boxes if source.layer.task is Task.OBJECT_DETECTION else _read_instances
    annotations: dict[str, Annotation] = {}
    for where in source.list_files(".txt", "label file"):
        name = where
        try:
            name = source.image_for(where, where)
            annotations[name] = read_file(where, source, classes)
        except BadSampleError as problem:
            source.problems.bad(name, problem)
    return annotations


def _read_boxes(where: str, source: Source, classes: ClassTable) -> BoxList:
    boxes, indices = [], []
    for number, index, values in _lines(where, source, classes):
        if len(values) == 4:
            x, y, width, height = values
            if width < 0 or height < 0:
                raise BadSampleError(f"{where}:{number}: expected width and height of at least 0; found {width} and {height}")
            boxes.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        elif len(values) >= 6 and len(values) % 2 == 0:
            boxes.append((min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])))
        else:
            raise BadSampleError(f"{where}:{number}: expected a class and 4 numbers (cx cy w h); found {len(values)} numbers")
        indices.append(index)
    kept, inside = clip_boxes(np.array(boxes, np.float32).reshape(-1, 4), _WHOLE_IMAGE, source.problems)
    return BoxList(inside, np.array(indices, np.int64)[kept], np.zeros(len(inside), np.bool_), normalised=True, where=where)


def _read_instances(where: str, source: Source, classes: ClassTable) -> InstanceList:
    shapes, indices = [], []
    for number, index, values in _lines(where, source, classes):
        if len(values) < 6 or len(values) % 2:
            raise BadSampleError(f"{where}:{number}: expected a class and at least 3 points (x y); found {len(values)} numbers")
        rings = split_rings(np.array(values, np.float32).reshape(-1, 2))
        if not rings:
            source.problems.mended("instances with an empty mask dropped")
            continue
        shapes.append(Rings(rings, normalised=True))
        indices.append(index)
    return InstanceList(shapes, np.array(indices, np.int64), np.zeros(len(indices), np.bool_), where=where)


def split_rings(points: Array) -> tuple[Array, ...]:
    """The rings of a line's points [k, 2]: one ends where its first point comes again. Those of under three points are dropped."""
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
    try:
        text = source.files.path(where).read_text()
    except (OSError, UnicodeDecodeError) as error:
        if is_of_the_machine(error):
            raise
        raise BadSampleError(f"{where}: not a text file: {error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.isspace():
            continue
        try:
            class_id, *values = map(float, line.split())
        except ValueError:
            raise BadSampleError(f"{where}:{number}: expected numbers; found '{line[:60]}'") from None
        if not class_id.is_integer():
            raise BadSampleError(f"{where}:{number}: expected a whole number as class; found {class_id}")
        if not all(-_FARTHEST <= value <= _FARTHEST for value in values):  # not true of NaN either
            raise BadSampleError(f"{where}:{number}: expected shares of the image's sides, 0 to 1; found '{line[:60]}'")
        try:
            index = classes.index(int(class_id))
        except BadSampleError as problem:
            raise BadSampleError(f"{where}:{number}: {problem}") from None
        yield number, index, values
