"""COCO's JSON files: `annotations/instances_train2017.json`, Roboflow's `train/_annotations.coco.json` and similar ones.

Files are recognised by their beginning and end: COCO's own have hundreds of megabytes.
"""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace_api.dataset import Layer, Part
from headrace_api.tasks import Task
from headrace_trainer.data.formats.coco_panoptic import beside
from headrace_trainer.data.recognise.listing import Layout, Listing, UnclearError, left_out, split_in, splits_from, words_of

_MOST_IN_A_FOLDER = 30
"""A folder with more JSON files than this has one per image, as LabelMe writes them."""
_GENERAL = frozenset({"annotations", "annotation", "coco", "result", "labels", "default"})
"""Words in a file's name that do not say what it holds."""
_KINDS: tuple[tuple[Task, re.Pattern[str]], ...] = (
    (Task.PANOPTIC_SEGMENTATION, re.compile(r'"segments_info"\s*:')),
    (Task.KEYPOINT_DETECTION, re.compile(r'"keypoints"\s*:\s*\[\s*-?\d')),
    (Task.INSTANCE_SEGMENTATION, re.compile(r'"segmentation"\s*:\s*(\[\s*\[\s*-?\d|\{)')),
    (Task.OBJECT_DETECTION, re.compile(r'"bbox"\s*:\s*\[\s*-?\d')),
)
"""What an annotation has, the richest first: one with keypoints has a polygon and a box too."""

_OF_ANNOTATION = re.compile(r'"file_name"\s*:\s*"([^"]+\.png)"')
_MASKS_LOOKED_FOR = 3
_MASKS_WORDS = frozenset({"panoptic", "mask", "masks", "segments", "segmentation"})
"""Words in a folder's name that tell segments from images, which may be PNGs of the same names."""


@dataclass(frozen=True)
class _File:
    name: str
    layer: str
    split: str
    task: Task | None
    """None if there are images but no annotations."""


def find(listing: Listing) -> Iterator[Layout]:
    """The layers of all COCO files; each file is a split of one."""
    jsons = listing.ending(".json")
    in_folder: dict[str, list[str]] = defaultdict(list)
    for name in jsons:
        in_folder[posixpath.dirname(name)].append(name)
    few = [name for names in in_folder.values() if len(names) <= _MOST_IN_A_FOLDER for name in names]
    files = [file for name in few if (file := _look(name, listing)) is not None]
    layers: dict[str, list[_File]] = defaultdict(list)
    for file in files:
        layers[file.layer].append(file)
    known = {name: members for name, members in layers.items() if any(file.task for file in members)}
    if not known:
        return
    any_val = any(file.split == "val" for members in known.values() for file in members)
    layout_layers, notes = [], []
    for name, members in sorted(known.items()):
        layer, unused = _layer(name, members, any_val, listing)
        layout_layers.append(layer)
        notes += unused
    yield Layout("COCO's JSON", tuple(file.name for file in files), tuple(layout_layers), tuple(notes))


def _look(name: str, listing: Listing) -> _File | None:
    text = listing.peek(name)
    if text.lstrip()[:1] != "{" or not re.search(r'"images"\s*:\s*\[', text) or '"captions"' in text:
        return None
    if not re.search(r'"annotations"\s*:\s*\[|"image_id"\s*:', text):
        return None
    task = next((task for task, pattern in _KINDS if pattern.search(text)), None)
    if task is None and '"caption"' in text:
        return None
    folder, base = posixpath.split(name)
    words = words_of(base.removesuffix(".json"))
    split = split_in(words) or split_in(words_of(posixpath.basename(folder))) or "all"
    what = [word for word in words if split_in([word]) is None and word.lower() not in _GENERAL]
    return _File(name, "_".join(what) or "objects", split, task)


def _layer(name: str, files: list[_File], any_val: bool, listing: Listing) -> tuple[Layer, list[str]]:
    """A layer, and notes on the files that it does not use."""
    by_split: dict[str, str] = {}
    for file in sorted(files, key=lambda file: file.name):
        if file.split in by_split:
            first = by_split[file.split]
            raise UnclearError(f"{first} and {file.name} could both be the split '{file.split}' of layer '{name}'")
        by_split[file.split] = file.name
    if "all" in by_split and by_split.keys() & {"train", "val"}:
        raise UnclearError(f"layer '{name}' could be {by_split['all']} or {by_split.get('train') or by_split['val']}")
    task = next(task for task, _ in _KINDS if any(file.task is task for file in files))
    splits = splits_from(by_split)
    if any_val and "train" in by_split and "val" not in by_split:
        splits = {"train": by_split["train"]}  # other layers say which images are val
    if task is not Task.PANOPTIC_SEGMENTATION:
        return Layer(name=name, task=task, format="coco", splits=splits), left_out(by_split)
    fields = {"masks": masks} if (masks := _masks(splits, listing)) else {}
    return Layer(name=name, task=task, format="coco-panoptic", splits=splits, **fields), left_out(by_split)


def _masks(splits: Mapping[Part, str], listing: Listing) -> dict[Part, str]:
    """The folders of a panoptic layer's PNGs, by its first few, if they are not where the reader looks."""
    found: dict[Part, str] = {}
    for split, name in splits.items():
        if listing.below(beside(name)):
            continue
        annotations = _OF_ANNOTATION.findall(listing.peek(name))[:_MASKS_LOOKED_FOR]
        folders = {posixpath.dirname(png) for mask in annotations for png in listing.names if png.endswith(f"/{mask}")}
        fitting = [folder for folder in folders if _holds_masks(words_of(folder.replace("/", "_")), split)]
        if len(fitting) == 1:
            found[split] = fitting[0]
    return found


def _holds_masks(words: list[str], split: Part) -> bool:
    """Whether a folder with these words in its path may hold the segments of a split."""
    return bool(_MASKS_WORDS.intersection(words)) and (split == "all" or split_in(words) in {split, None})
