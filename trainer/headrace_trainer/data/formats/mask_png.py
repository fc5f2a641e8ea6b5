"""PNGs whose pixel values are class ids: 8 bits, 16 bits or a palette (its indices, not its colours), one per labelled image.

An image's PNG has its stem and its size. PNGs are read when needed: opening a dataset only lists the files.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from headrace_api.dataset import Layer
from headrace_api.first_few import first_few
from headrace_trainer.data.annotations import Annotation, check_size
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import LayerData, Source, bad_layer, needed_class_table, sources
from headrace_trainer.data.problems import BadSampleError, Problems, is_of_the_machine
from headrace_trainer.data.targets import IGNORE, Array, ClassMap
from headrace_trainer.data.targets.geometry import Geometry

_UNKNOWN = -2
_VALUES = 1 << 16


@dataclass(frozen=True)
class MaskTable:
    """Class index by pixel value; all masks of a layer share one table."""

    classes: ClassTable
    index_of: Array
    """int32 [65536]: class index, IGNORE, or -2 for values without a meaning."""

    @classmethod
    def of(cls, classes: ClassTable, ignore: int | None) -> "MaskTable":
        """A table in which the value `ignore`, which may be 0, is not learnt from."""
        index_of = np.full(_VALUES, _UNKNOWN, np.int32)
        index_of[list(classes.ids)] = np.arange(len(classes))
        if ignore is not None:
            index_of[ignore] = IGNORE
        return cls(classes, index_of)


@dataclass(frozen=True)
class MaskFile(Annotation):
    """A class map in a file."""

    path: Path
    where: str
    table: MaskTable

    def stated_size(self) -> tuple[int, int] | None:
        """From the file's header."""
        with Image.open(self.path) as mask:
            return mask.height, mask.width

    def render(self, geometry: Geometry) -> ClassMap:
        values = self._values()
        check_size(values.shape, geometry, self.where)
        indices = self.table.index_of[values]
        if (unknown := indices == _UNKNOWN).any():
            some = first_few(np.unique(values[unknown]), 5)
            raise BadSampleError(f"{self.where}: pixel values {some} are not in the class table, {self.table.classes.described}")
        return ClassMap(geometry.place_map(indices, IGNORE))

    def _values(self) -> Array:
        try:
            with Image.open(self.path) as mask:
                if mask.mode not in {"1", "L", "P", "I;16", "I"}:
                    raise BadSampleError(f"{self.where}: expected one channel of 8 or 16 bits or a palette; found {mask.mode}")
                values = np.asarray(mask).astype(np.int32)
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for broken files
            if is_of_the_machine(error):
                raise
            raise BadSampleError(f"{self.where}: not a readable PNG: {error}") from error
        if values.min() < 0 or values.max() >= _VALUES:
            raise BadSampleError(f"{self.where}: expected values of at most 16 bits; found {values.min()} to {values.max()}")
        return values


def read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """List the masks of each split."""
    given = needed_class_table(layer, files)
    if any(not 0 <= class_id < _VALUES for class_id in given.ids):
        raise bad_layer(layer, f"expected mask class ids of 0 to {_VALUES - 1}; the table has {given.ids[0]} to {given.ids[-1]}")
    classes = ClassTable.of({i: name for i, name in zip(given.ids, given.names, strict=True) if i != layer.ignore})
    table = MaskTable.of(classes, layer.ignore)
    return LayerData(classes, {source.split: _list_masks(source, table) for source in sources(layer, files, problems)})


def _list_masks(source: Source, table: MaskTable) -> dict[str, Annotation]:
    masks: dict[str, Annotation] = {}
    for name in source.list_files(".png", "mask"):
        try:
            masks[source.image_for(name, name)] = MaskFile(source.files.path(name), name, table)
        except BadSampleError as problem:
            source.problems.bad(name, problem)
    return masks
