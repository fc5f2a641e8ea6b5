"""Pascal VOC: a folder `Annotations` (or `annotations`) of XML files, and lists in `ImageSets/Main` beside it, if there are any."""

import posixpath
from collections.abc import Iterator

from headrace_api.dataset import Layer
from headrace_api.tasks import Task
from headrace_trainer.data.recognise.listing import Layout, Listing, left_out, splits_from

_LISTS = {"train": "train", "val": "val", "trainval": "all", "test": "test"}


def find(listing: Listing) -> Iterator[Layout]:
    """A layer of boxes for each folder `Annotations`."""
    folders = sorted(
        {
            posixpath.dirname(name)
            for name in listing.names
            if name.endswith(".xml") and posixpath.basename(posixpath.dirname(name)).lower() == "annotations"
        }
    )
    for folder in folders:
        above = posixpath.dirname(folder)
        yield _layout(folder, posixpath.basename(above) if len(folders) > 1 and above else "objects", listing)


def _layout(folder: str, layer: str, listing: Listing) -> Layout:
    main = posixpath.join(posixpath.dirname(folder), "ImageSets/Main")
    lists = {split: name for stem, split in _LISTS.items() if (name := f"{main}/{stem}.txt") in listing.names}
    if lists.keys() & {"train", "all"}:
        if "train" in lists and "val" in lists:
            lists.pop("all", None)  # trainval lists both again
        splits, notes = splits_from(lists), left_out(lists)
    else:
        splits, notes = {"all": folder}, []
    made = Layer(name=layer, task=Task.OBJECT_DETECTION, format="voc", splits=splits)
    return Layout("Pascal VOC", (folder, *lists.values()), (made,), tuple(notes))
