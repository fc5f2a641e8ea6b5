"""Folders of maps beside folders of images: what a dataset.json that reads them may say. For a person to edit: it is a guess.

Classes of masks have no names in their files: the suggested ones are placeholders, by the values that some masks have.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from headrace_api.dataset import Layer, Part
from headrace_api.tasks import Task
from headrace_trainer.data.recognise.listing import Layout, Listing, split_in, splits_from, words_of

_LOOKED_INTO = 20
_MOST_VALUES = 64
"""Maps with more values than this have no classes."""
_GUESSED = (0, 1)
"""Values where no mask can be looked into, as where headers alone were pulled."""
_DEPTH = "depth"


def suggested(listing: Listing, folders: frozenset[str]) -> Layout | None:
    """A layer for each kind of map: the PNGs in folders called like one of `folders`, if they are called as other images are."""
    by_kind: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    images = set()
    for name in listing.images:
        if (found := _folder_of_maps(name, folders)) is None:
            images.add(_stem(name))
        else:
            kind, folder = found
            by_kind[kind][folder].add(name)
    of_kind = {kind: _layer(kind, by_folder, images, listing) for kind, by_folder in sorted(by_kind.items())}
    layers = tuple(layer for layer in of_kind.values() if layer is not None)
    if not layers:
        return None
    seen = tuple(folder for layer in layers for folder in layer.splits.values())
    notes = tuple(
        f"layer '{layer.name}': the names of its classes are placeholders, by pixel value: edit them, or name the value that is no "
        "class as `ignore`"
        for layer in layers
        if layer.format == "mask-png"
    )
    return Layout("maps beside images", seen, layers, (*notes, *_notes_on_colours(layers, listing)))


def _notes_on_colours(layers: Iterable[Layer], listing: Listing) -> Iterator[str]:
    """What is to be done to masks that are pictures: no dataset.json makes them readable."""
    for layer in layers:
        first = next((name for folder in layer.splits.values() for name in listing.below(folder) if name.endswith(".png")), None)
        if layer.format == "mask-png" and first is not None and (channels := _channels(listing.root / first)) > 1:
            yield (
                f"layer '{layer.name}': {first} for one has {channels} channels: what is read is one channel of class ids; convert "
                "colours to them first"
            )


def _channels(path: Path) -> int:
    """Of a picture; 0 where it cannot be opened."""
    try:
        with Image.open(path) as image:
            return len(image.getbands())
    except Exception:  # whatever is wrong with it: reading the layer will say so
        return 0


def _folder_of_maps(name: str, folders: frozenset[str]) -> tuple[str, str] | None:
    """What the maps' folder that `name` lies in is called, and its path: to the split's folder in it, where there is one."""
    parts = name.split("/")[:-1]
    at = next((number for number, part in enumerate(parts) if part.lower() in folders), None)
    if at is None:
        return None
    below = parts[at + 1 : at + 2]
    return parts[at].lower(), "/".join(parts[: at + 1] + [part for part in below if split_in(words_of(part)) is not None])


def _layer(kind: str, by_folder: Mapping[str, set[str]], images: set[str], listing: Listing) -> Layer | None:
    """The layer of all maps in folders called `kind`; None where they are no PNGs, or belong to no images."""
    maps = [name for names in by_folder.values() for name in names if name.lower().endswith(".png")]
    splits = _splits(by_folder)
    if splits is None or 2 * sum(1 for name in maps if _stem(name) in images) <= len(maps):
        return None
    if kind == _DEPTH:
        return Layer(name=kind, task=Task.DEPTH_ESTIMATION, format="depth", splits=splits)
    values = _values_of(maps, listing)
    if len(values) > _MOST_VALUES:
        return None
    classes = {value: f"value {value} (edit)" for value in values or _GUESSED}
    return Layer(name=kind, task=Task.SEMANTIC_SEGMENTATION, format="mask-png", splits=splits, classes=classes)


def _splits(folders: Iterable[str]) -> dict[Part, str] | None:
    """Each split's folder; None where two are of one split."""
    found: dict[str, str] = {}
    for folder in sorted(folders):
        split = split_in(word for part in folder.split("/") for word in words_of(part)) or "all"
        if found.setdefault(split, folder) != folder:
            return None
    return splits_from(found)


def _values_of(maps: Iterable[str], listing: Listing) -> list[int]:
    """The pixel values of some maps, as far as they can be read and have one channel."""
    values: set[int] = set()
    for name in sorted(maps)[:_LOOKED_INTO]:
        try:
            with Image.open(listing.root / name) as image:
                if len(image.getbands()) == 1:
                    values.update(np.unique(np.asarray(image).astype(np.int64)).tolist())
        except Exception:  # whatever is wrong with it: reading the layer will say so
            continue
    return sorted(values)


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]
