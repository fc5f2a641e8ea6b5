"""Folders of maps beside folders of images: suggests a dataset.json that reads them, a guess for you to edit.

Mask files do not name their classes: the suggested names are placeholders for the values in some masks.
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
"""Values to suggest if no mask can be read, for example because only headers were pulled."""
_DEPTH = "depth"


def suggested(listing: Listing, folders: frozenset[str]) -> Layout | None:
    """A layer for each kind of map: the PNGs in folders named like one of `folders`, if they share names with other images."""
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
        f"layer '{layer.name}': its class names are placeholders for pixel values: edit them, or set `ignore` to the value that is "
        "not a class"
        for layer in layers
        if layer.format == "mask-png"
    )
    return Layout("maps beside images", seen, layers, (*notes, *_notes_on_colours(layers, listing)))


def _notes_on_colours(layers: Iterable[Layer], listing: Listing) -> Iterator[str]:
    """What to do about masks that are pictures: no dataset.json makes them readable."""
    for layer in layers:
        first = next((name for folder in layer.splits.values() for name in listing.below(folder) if name.endswith(".png")), None)
        if layer.format == "mask-png" and first is not None and (channels := _channels(listing.root / first)) > 1:
            yield (
                f"layer '{layer.name}': expected masks with one channel of class ids; {first}, for example, has {channels}; "
                "convert colours to class ids first"
            )


def _channels(path: Path) -> int:
    """The number of a picture's channels; 0 if it cannot be opened."""
    try:
        with Image.open(path) as image:
            return len(image.getbands())
    except Exception:  # reading the layer will say what is wrong
        return 0


def _folder_of_maps(name: str, folders: frozenset[str]) -> tuple[str, str] | None:
    """The name of the maps' folder that holds `name`, and its path, down to the split's folder in it if there is one."""
    parts = name.split("/")[:-1]
    at = next((number for number, part in enumerate(parts) if part.lower() in folders), None)
    if at is None:
        return None
    below = parts[at + 1 : at + 2]
    return parts[at].lower(), "/".join(parts[: at + 1] + [part for part in below if split_in(words_of(part)) is not None])


def _layer(kind: str, by_folder: Mapping[str, set[str]], images: set[str], listing: Listing) -> Layer | None:
    """The layer of all maps in folders called `kind`; None unless they are PNGs and most belong to images."""
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
    """Each split's folder; None if two folders are the same split."""
    found: dict[str, str] = {}
    for folder in sorted(folders):
        split = split_in(word for part in folder.split("/") for word in words_of(part)) or "all"
        if found.setdefault(split, folder) != folder:
            return None
    return splits_from(found)


def _values_of(maps: Iterable[str], listing: Listing) -> list[int]:
    """The pixel values of some maps, of those that can be read and have one channel."""
    values: set[int] = set()
    for name in sorted(maps)[:_LOOKED_INTO]:
        try:
            with Image.open(listing.root / name) as image:
                if len(image.getbands()) == 1:
                    values.update(np.unique(np.asarray(image).astype(np.int64)).tolist())
        except Exception:  # reading the layer will say what is wrong
            continue
    return sorted(values)


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]
