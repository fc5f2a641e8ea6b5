"""Pascal VOC: a folder `Annotations` of XML files, and lists in `ImageSets/Main` beside it, if there are any."""

import posixpath

from headrace_api.dataset import Layer
from headrace_api.tasks import Task
from headrace_trainer.data.recognise.listing import Layout, Listing, UnclearError, left_out, splits_from

_LISTS = {"train": "train", "val": "val", "trainval": "all", "test": "test"}


def find(listing: Listing) -> Layout | None:
    """The layer of boxes of the one folder `Annotations`."""
    folders = sorted(
        {
            posixpath.dirname(name)
            for name in listing.names
            if name.endswith(".xml") and posixpath.basename(posixpath.dirname(name)) == "Annotations"
        }
    )
    if not folders:
        return None
    if len(folders) > 1:
        raise UnclearError(*(f"Pascal VOC in {folder}" for folder in folders))
    main = posixpath.join(posixpath.dirname(folders[0]), "ImageSets/Main")
    lists = {split: name for stem, split in _LISTS.items() if (name := f"{main}/{stem}.txt") in listing.names}
    if lists.keys() & {"train", "all"}:
        if "train" in lists and "val" in lists:
            lists.pop("all", None)  # both of them in one list
        splits, notes = splits_from(lists), left_out(lists)
    else:
        splits, notes = {"all": folders[0]}, []
    layer = Layer(name="objects", task=Task.OBJECT_DETECTION, format="voc", splits=splits)
    return Layout("Pascal VOC", (folders[0], *lists.values()), (layer,), tuple(notes))
