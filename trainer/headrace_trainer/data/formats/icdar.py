"""ICDAR's text files of quadrilaterals, one per image: `x1,y1,x2,y2,x3,y3,x4,y4,text`, corners clockwise from the text's top left.

https://rrc.cvc.uab.es/?ch=4&com=tasks (2015). `gt_img_1.txt` or `img_1.txt` belongs to the image img_1. The text may have commas;
`###` marks it as illegible: a crowd, neither learnt nor scored. There is one class, "text" unless dataset.json names another. An
empty file is a negative.
"""

import math
import posixpath

import numpy as np

from headrace_api.dataset import Layer
from headrace_trainer.data.annotations import Annotation, QuadList
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import LayerData, Source, bad_layer, class_table, read_text, sources
from headrace_trainer.data.problems import BadSampleError, Problems
from headrace_trainer.data.targets.quad_geometry import clean_quads

_ILLEGIBLE = "###"
_CORNERS = 8


def read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """Read every text file of each split."""
    classes = class_table(layer, files) or ClassTable.of({0: "text"})
    if len(classes) != 1:
        raise bad_layer(layer, f"format icdar has one class, but dataset.json names {len(classes)}: {', '.join(classes.names)}")
    return LayerData(classes, {source.split: _read_split(source) for source in sources(layer, files, problems)})


def _read_split(source: Source) -> dict[str, Annotation]:
    annotations: dict[str, Annotation] = {}
    for where in source.list_files(".txt", "annotation"):
        name = where
        try:
            name = source.image_for(image_of(where), where)
            annotations[name] = _read_file(where, source)
        except BadSampleError as problem:
            source.problems.bad(name, problem)
    return annotations


def image_of(where: str) -> str:
    """The image of a file, without the prefix that the file may have."""
    folder, name = posixpath.split(where)
    return posixpath.join(folder, name.removeprefix("gt_"))


def as_quad(line: str) -> tuple[list[float], str] | None:
    """Corners x1, y1, … y4 and text of a line; None if it is not a quadrilateral."""
    *corners, text = [*line.split(",", _CORNERS), ""][: _CORNERS + 1]
    try:
        quad = [float(corner) for corner in corners]
    except ValueError:
        return None
    return (quad, text.strip()) if len(quad) == _CORNERS and all(map(math.isfinite, quad)) else None


def _read_file(where: str, source: Source) -> QuadList:
    quads, texts = [], []
    for number, line in enumerate(read_text(where, source.files).splitlines(), start=1):
        if not line or line.isspace():
            continue
        if (found := as_quad(line)) is None:
            raise BadSampleError(f"{where}:{number}: expected x1,y1,…,x4,y4,text with finite numbers; found '{line[:60]}'")
        quads.append(found[0])
        texts.append(found[1])
    kept, usable = clean_quads(np.array(quads, np.float32).reshape(-1, 4, 2), source.problems)
    crowd = np.array([text == _ILLEGIBLE for text in texts], np.bool_)[kept]
    return QuadList(usable, normalised=False, classes=np.zeros(len(usable), np.int64), crowd=crowd, where=where)
