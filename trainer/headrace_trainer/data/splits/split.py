"""Which images a split has, and their annotations.

The train split is the union of what the heads' layers list for training, and val likewise; an image in both is taken out of train.
If a self-supervised head names no layer, the images that no layer lists belong too: to val if a folder above them is named like it,
else to train. If val would then be empty, a hash divides them (held_out.py).
"""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace_api.dataset import MANIFEST
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.data.annotations import Annotation
from headrace_trainer.data.head_labels.head_data import HeadData
from headrace_trainer.data.held_out import held_out
from headrace_trainer.data.layer_data import LayerData, SplitName
from headrace_trainer.data.problems import Problems
from headrace_trainer.tasks import describe

_PADDING_STEP = 8
_SPLITS: tuple[SplitName, ...] = ("train", "val")
_HELD_OUT_FOLDER = re.compile(r"(val|valid|validation|test)[-_]?\d*")


@dataclass(frozen=True)
class Split:
    """The images of a split and their annotations."""

    name: str
    images: tuple[str, ...]
    """Paths from the dataset's root, sorted: the same on every machine."""
    root: Path
    heads: tuple[HeadData, ...]
    annotations: Mapping[str, Mapping[str, Annotation]]
    """By layer and image; missing images are unlabelled."""
    padding: Mapping[str, int]
    """By head, how many objects or characters its targets are padded to: static, so that shapes are."""
    problems: Problems
    """Counts what turns out to be bad while loading."""
    beyond: Mapping[str, int] = field(default_factory=dict)
    """By head, how many more objects an image may have, whose boxes are ignored; heads without any are missing."""
    _lost: dict[str | None, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By layer, the images whose annotation turned out to be bad; under None, those that cannot be read."""

    def __len__(self) -> int:
        return len(self.images)

    def of(self, head: HeadData) -> Mapping[str, Annotation]:
        """The annotations for `head`, by image."""
        return self.annotations[head.layer] if head.layer is not None else {}

    def labelled(self, head: HeadData) -> int:
        """How many images `head` learns from or is scored on; a self-supervised one, all of them."""
        return len(self.images) if head.spec.task.self_supervised else len(self.of(head))

    def objects(self, head: HeadData) -> int:
        """How many objects, or characters of text, the layer of `head` has in these images."""
        return sum(annotation.objects for annotation in self.of(head).values())

    def lose(self, image: str, layers: Iterable[str | None], cause: object) -> None:
        """Record that `image` turned out to have no usable annotation in these `layers`; None means that it cannot be read.

        Raises FatalError(BAD_DATASET) if nothing is left to train a head on, however many bad images a job may have.
        """
        for layer in layers if self.name == "train" else ():
            self._lost[layer].add(image)
            every = self.images if layer is None else self.annotations[layer]
            learns = layer is None or any(head.layer == layer and not head.spec.task.self_supervised for head in self.heads)
            if learns and len(self._lost[layer]) == len(every):
                usable = "can be read" if layer is None else f"has a usable annotation in layer '{layer}'"
                raise FatalError(
                    Reason.BAD_DATASET,
                    f"none of the {len(every)} images to train on {usable}; {image}: {cause}",
                )


@dataclass(frozen=True)
class SplitImages:
    """The images of both splits, without overlap."""

    train: frozenset[str]
    val: frozenset[str]


def divide_images(layers: Mapping[str, LayerData], unlisted: Iterable[str], val_share: float, problems: Problems) -> SplitImages:
    """The images of each split: what `layers` list, and those of `unlisted` that no layer lists.

    Raises FatalError(BAD_DATASET) if a split is empty.
    """
    listed = {split: {image for data in layers.values() for image in data.splits.get(split, {})} for split in _SPLITS}
    train, val = listed["train"] - listed["val"], listed["val"]
    others = set(unlisted) - train - val
    apart = {image for image in others if _is_held_out_by_folder(image)}
    if not val and not apart:
        apart = held_out([others], val_share)
    in_both = listed["train"] & val
    problems.mended("images are in both splits and were taken out of train", len(in_both))
    _refuse_empty(train | others - apart, val | apart, layers, problems)
    return SplitImages(frozenset(train | others - apart), frozenset(val | apart))


def _is_held_out_by_folder(image: str) -> bool:
    """Whether a folder above the image is named like a held-out split: "val", "val2017", "valid", "validation", "test"."""
    return any(_HELD_OUT_FOLDER.fullmatch(folder) for folder in posixpath.dirname(image).lower().split("/"))


def _refuse_empty(train: set[str], val: set[str], layers: Iterable[str], problems: Problems) -> None:
    named = ", ".join(f"'{name}'" for name in layers)
    for split, images, other, other_images in (("val", val, "train", train), ("train", train, "val", val)):
        if not images:
            hint = f"put some images into a folder '{split}' and others into a folder '{other}'"
            if named:
                hint = f"give at least one of the layers {named} a '{split}' in its splits, with images that are not in '{other}'"
            alone = f". Only one image can be used, {min(other_images)}; two are needed" if len(other_images) == 1 else ""
            message = f"{MANIFEST}: no image is in the split '{split}': {hint}{alone}{problems.first_cause()}"
            raise FatalError(Reason.BAD_DATASET, message)


def make_split(
    name: SplitName,
    images: frozenset[str],
    layers: Mapping[str, LayerData],
    *,
    root: Path,
    heads: tuple[HeadData, ...],
    problems: Problems,
) -> Split:
    """A split of these images."""
    annotations = {layer: annotations_in(images, data, name) for layer, data in layers.items()}
    padding = {head.spec.name: _padding(name, head, annotations, problems) for head in heads}
    beyond = {head.spec.name: more for head in heads if (more := _most_objects(head, annotations) - padding[head.spec.name]) > 0}
    return Split(name, tuple(sorted(images)), root, heads, annotations, padding, problems, beyond)


def annotations_in(images: frozenset[str], layer: LayerData, split: SplitName) -> dict[str, Annotation]:
    """A layer's annotations of these images in a split."""
    return {image: annotation for image, annotation in layer.splits.get(split, {}).items() if image in images}


def _padding(split: SplitName, head: HeadData, annotations: Mapping[str, Mapping[str, Annotation]], problems: Problems) -> int:
    """The most objects in one image, rounded up; in training, no more than memory allows."""
    most = _most_objects(head, annotations)
    counted = describe(head.spec.task).counted
    bound = counted.most_learnt if counted is not None else None
    if split == "train" and bound is not None and most > bound:
        problems.say(
            f"head '{head.spec.name}': an image of layer '{head.layer}' has {most} objects; the head learns from the {bound} "
            "largest in a crop and ignores others, like crowds"
        )
        return bound
    return -(-max(most, 1) // _PADDING_STEP) * _PADDING_STEP


def _most_objects(head: HeadData, annotations: Mapping[str, Mapping[str, Annotation]]) -> int:
    """The most objects, or characters, in one image."""
    by_image = annotations[head.layer] if head.layer is not None else {}
    return max((annotation.objects for annotation in by_image.values()), default=1)
