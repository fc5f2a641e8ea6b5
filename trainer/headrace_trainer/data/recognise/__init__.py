"""Recognises a dataset without dataset.json by its files: the common layouts, and an error if several fit.

Annotation files come before folders: COCO's JSON, YOLO's data.yaml, Pascal VOC's XML, ICDAR's text files, a table. Without any of
them, folders may be classes; otherwise there are just images, for self-supervised heads. No image is opened, except for some masks
when the suggested dataset.json lists their values.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from headrace_api.dataset import Layer, Manifest
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.data.files import contents
from headrace_trainer.data.formats.registry import folders_of_maps
from headrace_trainer.data.recognise import coco, folders, icdar, maps, table, voc, yolo
from headrace_trainer.data.recognise.listing import Layout, Listing, UnclearError

_BY_FILES = (coco.find, yolo.find, voc.find, icdar.find, table.find)


@dataclass(frozen=True)
class Recognised:
    """What was recognised."""

    manifest: Manifest
    layout: Layout

    def describe(self) -> list[str]:
        """Log lines; the last is the manifest as JSON, to copy."""
        return [
            f"no dataset.json: the dataset is read as {self.layout.described}",
            *self.layout.notes,
            "to read it differently, put this dataset.json at the dataset's root and edit it:",
            self.manifest.model_dump_json(by_alias=True, exclude_unset=True),
        ]


def recognise(root: Path, names: Iterable[str]) -> Recognised:
    """The manifest of the dataset whose files are `names`; annotation files are read below `root`.

    Raises FatalError(BAD_DATASET), which says what was seen, if there is no image or several layouts fit.
    """
    listing = Listing.of(root, names)
    if not listing.images:
        there = contents(root, "it") if root.is_dir() else "there is no such folder"
        raise FatalError(Reason.BAD_DATASET, f"no dataset.json and no image in the dataset: check its location; {there}")
    found: list[Layout] = []
    unclear: list[str] = []
    for find in _BY_FILES:
        try:
            found += find(listing)
        except UnclearError as error:
            unclear += error.seen
    if unclear or len(found) > 1:
        ambiguous = UnclearError(*(layout.described for layout in found), *unclear)
        ambiguous.suggestion = _all_of(found, listing) if found else None
        raise ambiguous
    layout = found[0] if found else _by_folders(listing)
    return Recognised(_manifest(layout.layers, listing), layout)


def _by_folders(listing: Listing) -> Layout:
    """Classes, or images alone; if folders may hold maps, the error suggests reading those."""
    try:
        return folders.find(listing)
    except UnclearError as error:
        if (layout := maps.suggested(listing, folders.MAPS)) is not None:
            error.suggestion, error.notes = _manifest(layout.layers, listing), layout.notes
        raise


def _all_of(layouts: Iterable[Layout], listing: Listing) -> Manifest:
    """All layers of several layouts, each with a different name."""
    layers: dict[str, Layer] = {}
    for layer in (layer for layout in layouts for layer in layout.layers):
        number = next(number for number in itertools.count(1) if _numbered(layer.name, number) not in layers)
        name = _numbered(layer.name, number)
        layers[name] = layer.model_copy(update={"name": name})
    return _manifest(layers.values(), listing)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _manifest(layers: Iterable[Layer], listing: Listing) -> Manifest:
    """The manifest. Its images' folder is the lowest above all images, except maps and what is in folders named like maps."""
    layers = list(layers)
    of_maps = tuple(f"{folder}/" for layer in layers for folder in folders_of_maps(layer))
    images = [name for name in listing.images if not name.startswith(of_maps)]
    if not any(layer.format == "image-folder" for layer in layers):
        images = [name for name in images if not folders.MAPS.intersection(name.lower().split("/")[:-1])] or images
    return Manifest(version=1, images=folders.common_folder(images) or ".", layers=layers)
