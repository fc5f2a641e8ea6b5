"""COCO's JSON: boxes `[x, y, w, h]`, polygons, run lengths (compressed or not), keypoints `[x, y, visibility, …]`, `iscrowd`.

https://cocodataset.org/#format-data. One file per split. An image in `images` without annotations is a negative. Object detection
ignores segments. Instances without a mask (`"segmentation": []`, or polygons of fewer than three points) become crowds that fill
their boxes. `file_name` is relative to the images' folder or any folder below it. Keypoints are pixel indices: reading adds half a
pixel, to get the pixel's centre.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
from faster_coco_eval.core import mask as coco_mask

from headrace_api.dataset import Layer
from headrace_api.tasks import Task
from headrace_trainer.counted import counted
from headrace_trainer.data.annotations import Annotation, BoxList, InstanceList, KeypointList, Rings, Runs, Shape
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.annotations.inside import check_near, clip_boxes, rings_inside, seen_inside
from headrace_trainer.data.annotations.keypoint_table import AREA_OF_BOX, KeypointTable
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import LayerData, Source, bad_layer, class_table, keypoint_table, read_json, sources
from headrace_trainer.data.problems import BadSampleError, Problems

Json = Mapping[str, Any]


def read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """Read each split's file; the classes come from dataset.json or the files' own `categories`."""
    splits = sources(layer, files, problems)
    contents = [read_sections(source) for source in splits]
    classes = classes_of(layer, files, contents)
    keypoints = _keypoint_table(layer, contents) if layer.task is Task.KEYPOINT_DETECTION else None
    read_image = _image_reader(layer.task, classes, keypoints)
    return LayerData(
        classes,
        {source.split: _read_split(source, content, read_image) for source, content in zip(splits, contents, strict=True)},
        keypoints,
    )


def read_sections(source: Source) -> Json:
    """A split's parsed file; raises FatalError(BAD_DATASET) if it lacks a list `images` or `annotations`."""
    content = read_json(source.file(), source.files)
    for section in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(section), list):
            found = ", ".join(content) if isinstance(content, dict) else f"a {type(content).__name__}"
            raise bad_layer(source.layer, f"{source.path}: expected COCO's list '{section}'; found: {found}")
    return cast(Json, content)


def classes_of(layer: Layer, files: DatasetFiles, contents: Sequence[Json]) -> ClassTable:
    """The classes: dataset.json's if it has any, else the files' own. The files say which are things.

    Refuses a dataset.json that gives a name from the files a different id: a list of names counts from 0, COCO's ids from 1.
    """
    given = class_table(layer, files)
    if given is None:
        return categories(layer, contents)
    listed = list(_all_categories(layer, contents))
    ids: dict[Any, set[Any]] = {}
    for category in listed:
        ids.setdefault(category.get("name"), set()).add(category.get("id"))
    for class_id, name in zip(given.ids, given.names, strict=True):
        if class_id not in (theirs := ids.get(name, {class_id})):
            other = f"has id {class_id} in dataset.json, but {', '.join(map(str, theirs))} in the files"
            raise bad_layer(layer, f"classes: '{name}' {other}; leave `classes` out, or map the files' ids to names")
    things = {category["id"]: bool(category.get("isthing", True)) for category in listed if "id" in category}
    return ClassTable.of(dict(zip(given.ids, given.names, strict=True)), things)


def categories(layer: Layer, contents: Sequence[Json]) -> ClassTable:
    """The classes in all splits' `categories`, which must not contradict each other.

    If categories share a name, those without annotations are left out: Roboflow exports one for the whole dataset beside its
    classes, possibly with the name of one of them.
    """
    names: dict[int, str] = {}
    things: dict[int, bool] = {}
    for category in _all_categories(layer, contents):
        try:
            class_id, name = int(category["id"]), str(category["name"])
        except (KeyError, OverflowError, TypeError, ValueError):
            raise bad_layer(layer, f"categories: expected objects with id and name; found {category!r}") from None
        if names.setdefault(class_id, name) != name:
            raise bad_layer(layer, f"categories: id {class_id} is '{names[class_id]}' in one split and '{name}' in another")
        things[class_id] = bool(category.get("isthing", True))
    if not names:
        raise bad_layer(layer, "no 'categories' in its files and no 'classes' in dataset.json: the classes have no names")
    shared = {name for name, times in Counter(names.values()).items() if times > 1}
    if shared:
        given = (one.get("category_id") for content in contents for one in content["annotations"] if isinstance(one, dict))
        used = names.keys() & {class_id for class_id in given if isinstance(class_id, int)}
        has_used = {names[class_id] for class_id in used}
        names = {i: name for i, name in names.items() if i in used or name not in shared & has_used}
    return ClassTable.of(names, {class_id: things[class_id] for class_id in names})


def _all_categories(layer: Layer, contents: Iterable[Json]) -> Iterator[Json]:
    """The categories of all splits; files may have none."""
    for content in contents:
        listed = content.get("categories") or []
        if not isinstance(listed, list):
            raise bad_layer(layer, f"categories: expected a list of objects with id and name; found {type(listed).__name__}")
        for category in listed:
            if not isinstance(category, dict):
                raise bad_layer(layer, f"categories: expected objects with id and name; found {category!r}")
            yield category


def _keypoint_table(layer: Layer, contents: Iterable[Json]) -> KeypointTable:
    """The keypoints of the categories that have any, which must not differ; pairs in their `skeleton` count from 1."""
    tables: list[KeypointTable] = []
    for category in _all_categories(layer, contents):
        if not (names := category.get("keypoints")):
            continue
        try:
            skeleton = [[int(end) - 1 for end in pair] for pair in category.get("skeleton") or ()]
            table = keypoint_table(layer, [str(name) for name in names], skeleton=skeleton)
        except (OverflowError, TypeError, ValueError) as error:
            raise bad_layer(layer, f"categories: expected keypoints as names and skeleton as pairs of numbers; {error}") from None
        if tables and table != tables[0]:
            raise bad_layer(layer, f"categories: expected the same keypoints in all; '{category.get('name')}' has others")
        tables.append(table)
    return tables[0] if tables else keypoint_table(layer, ())


@dataclass(frozen=True)
class ListedImage:
    """An entry of `images`."""

    name: str | None
    """Path from the dataset's root; None if no file fits, which is counted already."""
    size: tuple[int, int] | None
    """Height and width, if the file states them."""


def images_by_id(source: Source, content: Json) -> dict[Any, ListedImage]:
    """The images that a file lists. Raises FatalError(BAD_DATASET) if two share an id: their annotations cannot be told apart."""
    listed: dict[Any, ListedImage] = {}
    names: dict[Any, str] = {}
    for position, image in enumerate(content["images"]):
        where = f"{source.path}: images[{position}]"
        try:
            image_id, file_name = image["id"], str(image["file_name"])
            size = (int(image["height"]), int(image["width"])) if "height" in image and "width" in image else None
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            source.problems.bad(where, f"expected id, file_name, and width and height as numbers; {error!r}")
            continue
        if not isinstance(image_id, int | float | str):
            source.problems.bad(where, f"expected an id that is a number or text; found {image_id!r}")
            continue
        if (first := names.setdefault(image_id, file_name)) != file_name:
            both = f"id {image_id!r} is both '{first}' and '{file_name}'"
            raise bad_layer(source.layer, f"{source.path}: images: {both}; expected a different id for each image")
        try:
            listed[image_id] = ListedImage(source.image_for(file_name, f"{where}: file_name"), size)
        except BadSampleError as problem:
            listed[image_id] = ListedImage(None, size)
            source.problems.bad(f"{source.path}: {file_name}", problem)
    return listed


ImageReader = Callable[[Iterable[Json], "tuple[int, int] | None", Source], Annotation]
"""Takes one image's annotations, and its height and width if the file states them."""


def _image_reader(task: Task, classes: ClassTable, keypoints: KeypointTable | None) -> ImageReader:
    if task is Task.OBJECT_DETECTION:
        return partial(_read_boxes, classes)
    if task is Task.INSTANCE_SEGMENTATION:
        return partial(_read_instances, classes)
    assert keypoints is not None, "only keypoint detection is left"
    return partial(_read_keypoints, classes, keypoints)


def _read_split(source: Source, content: Json, read_image: ImageReader) -> dict[str, Annotation]:
    images = images_by_id(source, content)
    objects: dict[Any, list[Json]] = {image_id: [] for image_id in images}
    for position, annotation in enumerate(content["annotations"]):
        try:
            objects[annotation["image_id"]].append(annotation)
        except (KeyError, TypeError) as error:
            source.problems.bad(f"{source.path}: annotations[{position}]", f"expected the image_id of a listed image; {error!r}")
    annotations: dict[str, Annotation] = {}
    for image_id, image in images.items():
        if image.name is None:
            continue
        try:
            annotations[image.name] = read_image(objects[image_id], image.size, source)
        except BadSampleError as problem:
            source.problems.bad(image.name, problem)
    if source.layer.task is Task.INSTANCE_SEGMENTATION:
        _check_masks(source, content, annotations.values())
    return annotations


def _read_boxes(classes: ClassTable, objects: Iterable[Json], size: tuple[int, int] | None, source: Source) -> BoxList:
    boxes, indices, crowd = [], [], []
    for annotation in objects:
        where = f"{source.path}: annotation {annotation.get('id')}"
        boxes.append(_box(annotation, where))
        indices.append(class_index(annotation, classes, where))
        crowd.append(bool(annotation.get("iscrowd", 0)))
    kept, inside = clip_boxes(np.array(boxes, np.float32).reshape(-1, 4), size, source.problems)
    return BoxList(
        inside,
        normalised=False,
        classes=np.array(indices, np.int64)[kept],
        crowd=np.array(crowd, np.bool_)[kept],
        size=size,
        where=source.path,
    )


def _box(annotation: Json, where: str) -> list[float]:
    try:
        x, y, width, height = map(float, annotation["bbox"])
    except (KeyError, OverflowError, TypeError, ValueError):
        raise BadSampleError(f"{where}: expected bbox [x, y, width, height]; found {annotation.get('bbox')!r}") from None
    if not np.isfinite((x, y, width, height)).all() or width < 0 or height < 0:
        raise BadSampleError(f"{where}: expected a finite bbox with width and height of at least 0; found {annotation['bbox']!r}")
    return [x, y, x + width, y + height]


def class_index(annotation: Json, classes: ClassTable, where: str) -> int:
    try:
        return classes.index(annotation["category_id"])
    except (KeyError, TypeError):
        raise BadSampleError(f"{where}: expected a category_id; found {annotation.get('category_id')!r}") from None
    except BadSampleError as problem:
        raise BadSampleError(f"{where}: {problem}") from None


def _read_keypoints(
    classes: ClassTable, table: KeypointTable, objects: Iterable[Json], size: tuple[int, int] | None, source: Source
) -> KeypointList:
    boxes, indices, crowd, areas, points, visibility = [], [], [], [], [], []
    for annotation in objects:
        where = f"{source.path}: annotation {annotation.get('id')}"
        boxes.append(_box(annotation, where))
        indices.append(class_index(annotation, classes, where))
        crowd.append(bool(annotation.get("iscrowd", 0)))
        areas.append(_area(annotation, where))
        triples = _triples(annotation.get("keypoints"), len(table.names), where)
        points.append(triples[:, :2] + 0.5)
        visibility.append(triples[:, 2])
    kept, inside = clip_boxes(np.array(boxes, np.float32).reshape(-1, 4), size, source.problems)
    placed = np.array(points, np.float32).reshape(len(boxes), len(table.names), 2)
    return KeypointList(
        table,
        inside,
        placed[kept],
        seen_inside(placed, np.array(visibility, np.int64).reshape(placed.shape[:2]), size, source.problems)[kept],
        np.array(areas, np.float32)[kept],
        normalised=False,
        classes=np.array(indices, np.int64)[kept],
        crowd=np.array(crowd, np.bool_)[kept],
        size=size,
        where=source.path,
    )


def _triples(keypoints: Any, count: int, where: str) -> np.ndarray:
    """float64 [K, 3] of x, y and visibility; all 0 if an object has none, as for crowds."""
    if not keypoints:
        return np.zeros((count, 3))
    try:
        triples = np.array(keypoints, np.float64).reshape(count, 3)
    except (OverflowError, TypeError, ValueError):
        raise BadSampleError(f"{where}: expected keypoints as {count} × 3 numbers: x, y, visibility") from None
    if not np.isfinite(triples).all() or not np.isin(triples[:, 2], (0, 1, 2)).all():
        raise BadSampleError(f"{where}: expected finite keypoints with 0, 1 or 2 as visibility; found {keypoints!r}")
    return triples


def _area(annotation: Json, where: str) -> float:
    """In square pixels; if the file has none, a share of the box."""
    if "area" not in annotation:
        _, _, width, height = map(float, annotation["bbox"])
        return AREA_OF_BOX * width * height
    try:
        area = float(annotation["area"])
    except (OverflowError, TypeError, ValueError):
        area = math.nan
    if not 0 <= area < math.inf:
        raise BadSampleError(f"{where}: expected an area of at least 0; found {annotation['area']!r}")
    return area


def _read_instances(classes: ClassTable, objects: Iterable[Json], size: tuple[int, int] | None, source: Source) -> InstanceList:
    shapes: list[Shape] = []
    indices, crowd = [], []
    for annotation in objects:
        where = f"{source.path}: annotation {annotation.get('id')}"
        unknown = _is_without_mask(annotation)
        shape = _around(annotation, size, where) if unknown else _shape(annotation.get("segmentation"), size, where)
        if shape is None:
            source.problems.mended("instances dropped: no mask inside their image")
            continue
        shapes.append(shape)
        indices.append(class_index(annotation, classes, where))
        crowd.append(unknown or bool(annotation.get("iscrowd", 0)))
        source.problems.mended("objects without a mask, treated as crowds that fill their boxes", int(unknown))
    return InstanceList(shapes, classes=np.array(indices, np.int64), crowd=np.array(crowd, np.bool_), size=size, where=source.path)


def _check_masks(source: Source, content: Json, annotations: Iterable[Annotation]) -> None:
    """Refuse a split that has no instance to learn because masks are missing: it would teach that nothing is there."""
    if any(isinstance(annotation, InstanceList) and not annotation.crowd.all() for annotation in annotations):
        return
    if unknown := sum(1 for entry in content["annotations"] if isinstance(entry, dict) and _is_without_mask(entry)):
        raise bad_layer(
            source.layer,
            f"{source.path}: expected segmentation as polygons of at least 3 points or run lengths; {counted(unknown, 'objects')} "
            "have neither, and there are no others to learn; if the layer has only boxes, set its task to object-detection",
        )


def _is_without_mask(annotation: Json) -> bool:
    """Whether it has only polygons of fewer than three points, or none: the object is there, but its outline is unknown."""
    polygons = annotation.get("segmentation")
    return isinstance(polygons, list) and all(
        isinstance(polygon, list) and len(polygon) in {0, 2, 4} and all(isinstance(number, int | float) for number in polygon)
        for polygon in polygons
    )


def _around(annotation: Json, size: tuple[int, int] | None, where: str) -> Rings | None:
    """The box of an object; None if it has no area inside the image."""
    limit = (size[1], size[0]) * 2 if size is not None else (np.inf,) * 4
    left, top, right, bottom = np.clip(_box(annotation, where), 0, limit).tolist()
    if left == right or top == bottom:
        return None
    return _rings([[left, top, right, top, right, bottom, left, bottom]], size, where)


def _shape(segmentation: Any, size: tuple[int, int] | None, where: str) -> Shape | None:
    """Polygons or run lengths; None if they cover nothing inside the image."""
    if isinstance(segmentation, list):
        return _rings(segmentation, size, where)
    if isinstance(segmentation, dict):
        return _runs(segmentation, size, where)
    raise BadSampleError(f"{where}: expected segmentation as polygons or run lengths; found {type(segmentation).__name__}")


def _rings(polygons: list[Any], size: tuple[int, int] | None, where: str) -> Rings | None:
    rings = []
    for polygon in polygons:
        try:
            with np.errstate(over="ignore"):  # numbers too large for float32 become infinite, and are refused
                ring = np.array(polygon, np.float32)
        except (OverflowError, TypeError, ValueError):
            ring = np.zeros(1, np.float32)
        if ring.ndim != 1 or len(ring) % 2 or not np.isfinite(ring).all():
            raise BadSampleError(f"{where}: expected each polygon as a flat list of x, y")
        if len(ring) >= 6:
            rings.append(ring.reshape(-1, 2))
    if size is not None:
        check_near(rings, size, where)
    kept = rings_inside(rings, size)
    return Rings(kept, normalised=False, where=where) if kept else None


def _runs(segmentation: Json, size: tuple[int, int] | None, where: str) -> Runs | None:
    try:
        height, width = (int(side) for side in segmentation["size"])
        counts = segmentation["counts"]
        if isinstance(counts, list):
            if sum(counts) != height * width or min(counts, default=0) < 0:
                raise ValueError(f"counts add up to {sum(counts)} pixels, expected {height * width}")
            counts = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"]
        elif not isinstance(counts, str):
            raise TypeError(f"counts: expected a list or text, found {type(counts).__name__}")
        counts = counts.encode() if isinstance(counts, str) else counts
        area = int(coco_mask.area({"size": [height, width], "counts": counts}))
    except (KeyError, OverflowError, TypeError, ValueError, RuntimeError) as error:
        raise BadSampleError(f"{where}: expected run lengths with size and counts; {error!r}") from None
    if size is not None and (height, width) != size:
        raise BadSampleError(f"{where}: run lengths are for {width} x {height} pixels, the listed image has {size[1]} x {size[0]}")
    # Only decoding shows whether compressed lengths add up, and that is too slow for opening a dataset.
    return Runs(counts, (height, width), area, where) if area else None
