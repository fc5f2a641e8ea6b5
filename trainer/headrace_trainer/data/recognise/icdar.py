"""ICDAR's text files of quadrilaterals: `gt/gt_img_1.txt` for `images/img_1.jpg`, recognised by their lines.

Folder names tell the splits: `gt/train`, or ICDAR 2015's `ch4_training_localization_transcription_gt`.
"""

import posixpath
from collections.abc import Iterator

from headrace_api.dataset import Layer
from headrace_api.tasks import Task
from headrace_trainer.data.formats.icdar import as_quad, image_of
from headrace_trainer.data.recognise.listing import Layout, Listing, UnclearError, left_out, split_in, splits_from, words_of

_FILES_LOOKED_INTO = 20


def find(listing: Listing) -> Iterator[Layout]:
    """The layer of all folders with such files, each a split."""
    images = {posixpath.splitext(posixpath.basename(name))[0] for name in listing.images}
    in_folder: dict[str, list[str]] = {}
    for name in listing.ending(".txt"):
        if posixpath.splitext(posixpath.basename(image_of(name)))[0] in images:
            in_folder.setdefault(posixpath.dirname(name), []).append(name)
    folders = [folder for folder, names in in_folder.items() if _are_quads(names[:_FILES_LOOKED_INTO], listing)]
    if not folders:
        return
    by_split: dict[str, str] = {}
    for folder in folders:
        above, base = posixpath.split(folder)
        split = split_in(words_of(base)) or split_in(words_of(posixpath.basename(above))) or "all"
        if split in by_split or "all" in by_split or (by_split and split == "all"):
            raise UnclearError(*(f"ICDAR's text files in {one or '.'}" for one in folders))
        by_split[split] = folder or "."
    layer = Layer(name="texts", task=Task.QUADRILATERAL_DETECTION, format="icdar", splits=splits_from(by_split))
    yield Layout("ICDAR's text files", tuple(by_split.values()), (layer,), tuple(left_out(by_split)))


def _are_quads(names: list[str], listing: Listing) -> bool:
    """Whether these files have lines, and each is a quadrilateral with a text."""
    lines = [line for name in names for line in listing.text(name).splitlines() if line.strip()]
    return bool(lines) and all(as_quad(line) is not None for line in lines)
