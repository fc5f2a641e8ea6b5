"""The part of a dataset's check that opens files: every image's header, or all of it, and its annotations."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from headrace_trainer.check.report import LayerReport, Report
from headrace_trainer.counted import counted
from headrace_trainer.data.annotations import Annotation
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.formats.mask_png import MaskFile
from headrace_trainer.data.layer_data import LayerData, SplitName
from headrace_trainer.data.picture import FAINT, Picture
from headrace_trainer.data.problems import BadSampleError, is_of_the_machine
from headrace_trainer.data.targets import IGNORE
from headrace_trainer.data.targets.geometry import letterbox

SPLITS: tuple[SplitName, ...] = ("train", "val")
Layers = dict[str, LayerData]
_THREADS = 8
_DRAWN_AT = (64, 64)
"""Size in pixels at which annotations are drawn to see whether they can be: small, because only failures matter."""


def check_images(report: Report, files: DatasetFiles, layers: Layers, decode: bool) -> None:
    """Check every image and its annotations, and add the classes found in maps to the layers' reports."""
    annotations: dict[str, list[_Found]] = {image: [] for image in files.images()}
    for name, data in layers.items():
        for split in SPLITS:
            for image, annotation in data.splits.get(split, {}).items():
                annotations.setdefault(image, []).append(_Found(name, split, annotation))
    report.unlisted = sum(1 for of_image in annotations.values() if not of_image)
    images = sorted(annotations)
    sides: list[int] = []
    faint: list[str] = []
    seen: dict[str, dict[str, Counter[int]]] = defaultdict(lambda: {split: Counter() for split in SPLITS})
    with ThreadPoolExecutor(_THREADS) as pool:
        all_looked = pool.map(lambda image: _check_image(files.path(image), image, annotations[image], decode), images)
        for image, looked in zip(images, all_looked, strict=True):
            faint += [image] if looked.faint else []
            sides += looked.size or ()
            report.problems += looked.problems
            for found, indices in looked.classes:
                seen[found.layer][found.split].update(indices)
    if faint:
        report.notes.append(f"{counted(len(faint), 'images')} (for example {faint[0]}) have {FAINT}")
    report.sides = (min(sides), max(sides)) if sides else None
    report.layers = [_with_classes(layer, layers[layer.layer.name], seen.get(layer.layer.name)) for layer in report.layers]


@dataclass(frozen=True)
class _Found:
    """A layer's annotation of an image."""

    layer: str
    split: SplitName
    annotation: Annotation


@dataclass(frozen=True)
class _Looked:
    """What is known about an image."""

    size: tuple[int, int] | None
    """Height and width, if it can be read."""
    problems: list[str]
    classes: list[tuple[_Found, list[int]]] = field(default_factory=list)
    """The classes in the maps that were read."""
    faint: bool = False
    """`Picture.faint`, if it was decoded."""


def _with_classes(report: LayerReport, data: LayerData, seen: Mapping[str, Counter[int]] | None) -> LayerReport:
    """Add the number of images that each class occurs in, if maps were read."""
    if seen is None:
        return report
    classes = {name: {split: seen[split][index] for split in report.splits} for index, name in enumerate(data.classes.names)}
    return replace(report, classes=classes, names={what: names for what, names in report.names.items() if what != "classes"})


def _check_image(path: Path, image: str, annotations: list[_Found], decode: bool) -> _Looked:
    """Find what is wrong with an image and its annotations."""
    try:
        with Picture(path) as picture:
            sizes = {picture.size, picture.stored_size}
            if decode:
                picture.pixels(picture.size)
            size, faint = picture.size, picture.faint
    except Exception as problem:  # hostile files can make decoders raise anything
        if is_of_the_machine(problem):
            raise
        return _Looked(None, [f"{image}: cannot be read as an image: {problem or type(problem).__name__}"])
    looked = _Looked(size, [], faint=faint)
    for found in annotations:
        where = f"layer '{found.layer}': {image}"
        try:
            stated = found.annotation.stated_size()
            if stated is not None and stated not in sizes:
                looked.problems.append(f"{where}: made for {stated[1]} x {stated[0]} pixels; the image has {size[1]} x {size[0]}")
            elif decode or not _in_a_file(found.annotation):
                looked.classes.extend((found, indices) for indices in _draw(found.annotation, stated or size))
        except BadSampleError as problem:
            looked.problems.append(f"{where}: {problem}")
        except Exception as problem:
            if is_of_the_machine(problem):
                raise
            looked.problems.append(f"{where}: its mask or map cannot be read: {problem or type(problem).__name__}")
    return looked


def _draw(annotation: Annotation, size: tuple[int, int]) -> Iterator[list[int]]:
    """Draw it, to see whether that works; for a class map in a file, yield its classes."""
    if not isinstance(annotation, MaskFile):
        annotation.render(letterbox(size, _DRAWN_AT))
        return
    indices = np.unique(annotation.render(letterbox(size, size)).map)
    yield indices[indices != IGNORE].tolist()


def _in_a_file(annotation: Annotation) -> bool:
    """Whether its pixels are in a file of their own."""
    return any(isinstance(value, Path) for value in vars(annotation).values())
