"""Pascal VOC's XML, one file per image: boxes by name. http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/

A split is a folder of XML files, or a list from `ImageSets` (one name per line), whose files are in the folder `Annotations` beside
it. Corners count pixels from 1, and the last pixel belongs to the box: xmin 1, xmax 10 are the pixels 0 to 9, half-open 0 to 10. If
xmin equals xmax, the annotator clicked without dragging: the box is dropped as having no area, though it might mean one pixel.
Objects marked `difficult` are neither learnt nor scored, as in VOC's own evaluation; `truncated` and `occluded` ones are kept.
"""

import math
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from headrace_api.dataset import Layer
from headrace_trainer.data.annotations import Annotation, BoxList
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.annotations.inside import Size, clip_boxes
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import LayerData, Source, bad_layer, class_table, read_text, sources
from headrace_trainer.data.problems import BadSampleError, Problems

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class _Objects:
    """A file's objects."""

    where: str
    size: Size | None
    names: tuple[str, ...]
    boxes: tuple[tuple[float, ...], ...]
    """As in the file: xmin, ymin, xmax, ymax."""
    difficult: tuple[bool, ...]


def read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """Read every XML file of each split. Without `classes` in dataset.json, the classes are the sorted names of all splits."""
    splits = sources(layer, files, problems)
    found = {source.split: _read_files(source) for source in splits}
    names = sorted({name for by_image in found.values() for objects in by_image.values() for name in objects.names})
    classes = class_table(layer, files) or ClassTable.of(dict(enumerate(names)))
    if not classes.names:
        raise bad_layer(layer, "no object in its files and no 'classes' in dataset.json: there is no class to learn")
    return LayerData(classes, {source.split: _annotations(source, found[source.split], classes) for source in splits})


def _read_files(source: Source) -> dict[str, _Objects]:
    """By image."""
    found = {}
    for where in _files(source):
        name = where
        try:
            name = source.image_for(where, where)
            found[name] = _parse(where, source.files)
        except BadSampleError as problem:
            source.problems.bad(name, problem)
    return found


def _files(source: Source) -> list[str]:
    """The XML files of a split."""
    if not source.path.endswith(".txt"):
        return source.list_files(".xml", "annotation")
    list_file = source.file()
    folders = list_file.split("/")
    if "ImageSets" not in folders:
        raise bad_layer(source.layer, f"{list_file}: expected a list in a folder 'ImageSets', with 'Annotations' beside it")
    above = "/".join(folders[: folders.index("ImageSets")])
    annotations = source.files.folder(posixpath.join(above, "Annotations"), source.field)
    try:
        lines = read_text(list_file, source.files).splitlines()
    except BadSampleError as problem:
        raise bad_layer(source.layer, str(problem)) from None
    names = [line.split()[0] for line in lines if line.strip()]  # lists of one class have a second column, of 1 and -1
    if not names:
        raise bad_layer(source.layer, f"{list_file}: expected the name of an image on each line; the file is empty")
    return [f"{annotations}/{name}.xml" for name in names]


def _parse(where: str, files: DatasetFiles) -> _Objects:
    if not files.path(where).is_file():
        raise BadSampleError(f"no file {where}")
    try:
        root = ElementTree.fromstring(read_text(where, files))
    except (ElementTree.ParseError, ValueError) as error:
        raise BadSampleError(f"{where}: not XML: {error}") from None
    objects = root.findall("object")
    return _Objects(
        where,
        _size(root),
        tuple(_name(one, f"{where}: object {number}") for number, one in enumerate(objects, start=1)),
        tuple(_box(one, f"{where}: object {number}") for number, one in enumerate(objects, start=1)),
        tuple(one.findtext("difficult", "0").strip() == "1" for one in objects),
    )


def _size(root: ElementTree.Element) -> Size | None:
    """Height and width; None if the file has none, or the zeros that some tools write."""
    try:
        height, width = int(root.findtext("size/height", "0")), int(root.findtext("size/width", "0"))
    except ValueError:
        return None
    return (height, width) if height > 0 and width > 0 else None


def _name(one: ElementTree.Element, where: str) -> str:
    if name := one.findtext("name", "").strip():
        return name
    raise BadSampleError(f"{where}: expected a name")


def _box(one: ElementTree.Element, where: str) -> tuple[float, ...]:
    corners = one.find("bndbox")
    texts = [corners.findtext(corner, "") for corner in _CORNERS] if corners is not None else []
    try:
        left, top, right, bottom = box = tuple(map(float, texts))
    except ValueError:
        raise BadSampleError(f"{where}: expected bndbox with {', '.join(_CORNERS)} as numbers; found {texts}") from None
    if not all(map(math.isfinite, box)) or right < left or bottom < top:
        raise BadSampleError(f"{where}: expected finite numbers with xmin up to xmax and ymin up to ymax; found {texts}")
    return box


def _annotations(source: Source, found: Mapping[str, _Objects], classes: ClassTable) -> dict[str, Annotation]:
    index = {name: number for number, name in enumerate(classes.names)}
    annotations: dict[str, Annotation] = {}
    for image, objects in found.items():
        if unknown := sorted(set(objects.names) - set(index)):
            named = ", ".join(classes.names)
            source.problems.bad(image, f"{objects.where}: '{unknown[0]}' is not in the class table, which has: {named}")
            continue
        annotations[image] = _box_list(objects, index, source.problems)
    return annotations


def _box_list(objects: _Objects, index: Mapping[str, int], problems: Problems) -> BoxList:
    boxes = np.array(objects.boxes, np.float32).reshape(-1, 4)
    clicked = (boxes[:, 2:] == boxes[:, :2]).any(axis=1)
    half_open = boxes - np.array((1, 1, 0, 0), np.float32)
    half_open[clicked, 2:] = half_open[clicked, :2]
    kept, inside = clip_boxes(half_open, objects.size, problems)
    classes = np.array([index[name] for name in objects.names], np.int64)
    crowd = np.array(objects.difficult, np.bool_)
    return BoxList(inside, normalised=False, classes=classes[kept], crowd=crowd[kept], size=objects.size, where=objects.where)
