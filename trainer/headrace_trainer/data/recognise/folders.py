"""Folders that are classes: `train/cat/1.jpg`, `cat/1.jpg`, or MVTec AD's `train/good/1.png`; or no labels at all, just images."""

import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterable

from headrace_api.dataset import Layer, Part
from headrace_api.tasks import Task
from headrace_trainer.data.formats.image_folder import GROUND_TRUTH, is_normal
from headrace_trainer.data.recognise.listing import Layout, Listing, UnclearError, left_out, named, split_in, splits_from, words_of
from headrace_trainer.data.recognise.yolo import unnamed_labels

MAPS = frozenset({"masks", "mask", "labels", "label", "annotations", "segmentation", "depth", "gt", GROUND_TRUTH})
"""Folders with these names hold maps of images, which are image files too."""
_NO_CLASSES = MAPS | {"images", "image", "imgs", "img", "rgb"}
"""Folders with these names hold images and their maps side by side."""


def find(listing: Listing) -> Layout:
    """Classes if the folders look like classes, else images only."""
    base = common_folder(listing.images)
    children = _children(base, listing.images)
    masks = children.pop(GROUND_TRUTH, None)
    by_split = {split: child for child in sorted(children) if (split := split_in(words_of(child))) is not None}
    if children and len(by_split) == len(children):
        return _splits({split: posixpath.join(base, child) for split, child in by_split.items()}, listing, masks is not None)
    if "" in children or len(children) < 2:
        return images_only(listing)
    _refuse_maps(children, base or ".")
    seen = tuple(posixpath.join(base, child) for child in children)
    where = base or "."
    if masks is not None and any(map(is_normal, children)):
        fields = {"splits": {"all": where}, "masks": {"all": posixpath.join(base, GROUND_TRUTH)}}
        layer = Layer(name="anomalies", task=Task.ANOMALY_DETECTION, format="image-folder", **fields)
        return Layout("MVTec AD's folders", seen, (layer,))
    return Layout("one folder per class", seen, (_classes({"all": where}),))


def _classes(splits: dict[Part, str]) -> Layer:
    return Layer(name="classes", task=Task.MULTICLASS_CLASSIFICATION, format="image-folder", splits=splits)


def _refuse_maps(children: Collection[str], where: str) -> None:
    if maps := [child for child in children if child.lower() in _NO_CLASSES]:
        raise UnclearError(f"{named(maps)} in {where}: these may be classes, or images and their maps")


def images_only(listing: Listing) -> Layout:
    """No layer; other files may be annotations that are not recognised, so a note names them."""
    others = listing.names.difference(listing.images)
    notes = [f"not used: {named(others)}"] if others else []
    if labels := unnamed_labels(listing):
        notes.append(
            f"{named(labels)} may hold YOLO labels: to have them read, add a data.yaml whose train, val and names say where the "
            "images are and what the classes are called"
        )
    return Layout("images without labels", (common_folder(listing.images) or ".",), notes=tuple(notes))


def common_folder(images: Iterable[str]) -> str:
    """The lowest folder that all images are below; "" is the root."""
    folders = {posixpath.dirname(name) for name in images}
    return posixpath.commonpath(folders) if folders and "" not in folders else ""


def _splits(by_split: dict[str, str], listing: Listing, has_masks: bool) -> Layout:
    """Folders named like splits, with or without classes in them."""
    classes = {split: _children(folder, listing.images) for split, folder in by_split.items()}
    direct = [by_split[split] for split, children in classes.items() if "" in children]
    if direct and len(direct) < len(by_split):
        others = set(by_split.values()) - set(direct)
        raise UnclearError(f"images are in class folders in {named(others)}, but not in {named(direct)}")
    if direct:
        return images_only(listing)
    found = {name for children in classes.values() for name in children}
    _refuse_maps(found, ", ".join(by_split.values()))
    # MVTec's own validation folders have normal images only; its test set has both kinds.
    if "train" in by_split and (scored := by_split.get("test") or by_split.get("val")) and _is_of_anomalies(classes, has_masks):
        splits: dict[Part, str] = {"train": by_split["train"], "val": scored}
        layer = Layer(name="anomalies", task=Task.ANOMALY_DETECTION, format="image-folder", splits=splits)
        return Layout("MVTec AD's folders", tuple(by_split.values()), (layer,))
    if len(found) < 2:
        return images_only(listing)
    return Layout("one folder per class", tuple(by_split.values()), (_classes(splits_from(by_split)),), tuple(left_out(by_split)))


def _is_of_anomalies(classes: dict[str, dict[str, int]], has_masks: bool) -> bool:
    """Whether there are only normal images to train on, and others to score on."""
    others = {name for split, children in classes.items() if split != "train" for name in children}
    return all(map(is_normal, classes["train"])) and (has_masks or any(not is_normal(name) for name in others)) and bool(others)


def _children(base: str, images: Iterable[str]) -> dict[str, int]:
    """How many images are below each folder in `base`; "" has those in `base` itself."""
    prefix = f"{base}/" if base else ""
    counts: dict[str, int] = defaultdict(int)
    for image in images:
        if image.startswith(prefix):
            first, slash, _ = image[len(prefix) :].partition("/")
            counts[first if slash else ""] += 1
    return dict(counts)
