"""COCO's panoptic format: a JSON file, and one PNG per image. Colours are segment ids: R + 256 G + 65536 B; 0 is no segment.

https://cocodataset.org/#format-data ("Panoptic Segmentation"). The PNGs are in the folder that dataset.json names, else in one
named like the JSON file without its suffix. They are read when needed: opening a dataset reads only the JSON.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headrace_api.dataset import Layer
from headrace_api.first_few import first_few
from headrace_trainer.data.annotations import Annotation, check_size
from headrace_trainer.data.annotations.base import ObjectAnnotation
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.files import DatasetFiles, relative_path
from headrace_trainer.data.formats.coco import Json, class_index, classes_of, images_by_id, read_sections
from headrace_trainer.data.layer_data import LayerData, Source, field_of, sources
from headrace_trainer.data.problems import BadSampleError, Problems, is_of_the_machine
from headrace_trainer.data.targets import IGNORE, Array, Panoptic
from headrace_trainer.data.targets.geometry import Geometry


@dataclass(frozen=True)
class PanopticFile(ObjectAnnotation):
    """An image's segments: ids and classes in memory, pixels in a file."""

    path: Path
    ids: Array
    """int64 [S], ascending: the ids of the n = S objects"""

    def render(self, geometry: Geometry) -> Panoptic:
        try:
            with Image.open(self.path) as image:
                colors = np.asarray(image.convert("RGB")).astype(np.int32)
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for broken files
            if is_of_the_machine(error):
                raise
            raise BadSampleError(f"{self.where}: not a readable PNG: {error}") from error
        check_size(colors.shape[:2], geometry, self.where)
        ids = colors[..., 0] | colors[..., 1] << 8 | colors[..., 2] << 16
        segments = self._segment_of(ids)
        total = np.bincount(segments[segments != IGNORE], minlength=len(self.ids)) * np.prod(geometry.scale)
        placed = geometry.place_map(segments, IGNORE)
        visible = np.bincount(placed[placed != IGNORE], minlength=len(self.ids))
        return Panoptic(placed, self.classes, self.crowd, visible >= geometry.min_visible * total)

    def _segment_of(self, ids: Array) -> Array:
        """int32 [h, w], index of the segment or IGNORE, from the PNG's ids."""
        known = np.concatenate(([0], self.ids))
        position = np.searchsorted(known, ids).clip(0, len(known) - 1)
        if (strange := known[position] != ids).any():
            some = first_few(np.unique(ids[strange]), 5)
            raise BadSampleError(f"{self.where}: segment ids {some} are in the PNG but not in the JSON file's segments_info")
        return position.astype(np.int32) - 1


def read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """Read the JSON file of each split."""
    splits = sources(layer, files, problems)
    contents = [read_sections(source) for source in splits]
    classes = classes_of(layer, files, contents)
    return LayerData(
        classes,
        {source.split: _read_split(source, content, classes) for source, content in zip(splits, contents, strict=True)},
    )


def beside(json_file: str) -> str:
    """Where a JSON file's PNGs are, unless dataset.json says otherwise."""
    return json_file.removesuffix(".json")


def _read_split(source: Source, content: Json, classes: ClassTable) -> dict[str, Annotation]:
    folder = source.layer.masks.get(source.split, beside(source.path))
    folder = source.files.folder(folder, field_of(source.layer, f"masks.{source.split}"))
    images = images_by_id(source, content)
    annotations: dict[str, Annotation] = {}
    for position, entry in enumerate(content["annotations"]):
        where = f"{source.path}: annotations[{position}]"
        try:
            image = images[entry["image_id"]]
            if not isinstance(file_name := entry["file_name"], str):
                raise TypeError(f"file_name is {file_name!r}")
            png = f"{folder}/{relative_path(file_name, f'{where}: file_name')}"
            segments = sorted(((int(segment["id"]), segment) for segment in entry["segments_info"]), key=lambda pair: pair[0])
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            source.problems.bad(where, f"expected the image_id of a listed image, file_name and segments_info; {error!r}")
            continue
        if image.name is None:
            continue
        try:
            annotations[image.name] = _panoptic_file(source.files.path(png), png, segments, image.size, classes)
        except BadSampleError as problem:
            source.problems.bad(image.name, problem)
    return annotations


def _panoptic_file(
    path: Path, where: str, segments: list[tuple[int, Any]], size: tuple[int, int] | None, classes: ClassTable
) -> PanopticFile:
    if not path.is_file():
        raise BadSampleError(f"no PNG at {where}")
    indices = [class_index(segment, classes, f"{where}: segment {segment_id}") for segment_id, segment in segments]
    crowd = [bool(segment.get("iscrowd", 0)) for _, segment in segments]
    ids = np.array([segment_id for segment_id, _ in segments], np.int64)
    return PanopticFile(path, ids, classes=np.array(indices, np.int64), crowd=np.array(crowd, np.bool_), size=size, where=where)
