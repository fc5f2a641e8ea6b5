"""Picks validation images when the dataset defines no split: the same on every machine, even after images are added or removed."""

import hashlib
from collections.abc import Collection, Iterable, Sequence


def place(image: str) -> float:
    """A number between 0 and 1 for `image`, a path from the dataset's root. A hash of the path spreads them evenly."""
    return int.from_bytes(hashlib.blake2b(image.encode(), digest_size=8).digest()) / 2**64


def held_out(layers: Sequence[Collection[str]], share: float) -> set[str]:
    """The images of all `layers` whose place is below `share`; an image that layers share is held out of all of them or of none.

    If a layer of two or more images would be entirely on one side, it gives one to the other: its last by place is trained on, or
    its first scored on, skipping images that are another layer's last on their side. If all of them are, the layer still gets one
    to train on, but none to score on. The order of layers and of images does not matter.
    """
    placed = sorted({(place(image), image) for images in layers for image in images})
    order = {image: number for number, (_, image) in enumerate(placed)}
    apart = {image for where, image in placed if where < share}
    kept = order.keys() - apart
    groups = [frozenset(images) for images in layers if len(set(images)) > 1]
    for images in _in_order((group for group in groups if group <= apart), order):
        if apart.issuperset(images):
            last = _spare(reversed(images), apart, groups) or images[-1]
            apart.remove(last)
            kept.add(last)
    for images in _in_order((group for group in groups if group <= kept), order):
        if kept.issuperset(images) and (first := _spare(images, kept, groups)) is not None:
            kept.remove(first)
            apart.add(first)
    return apart


def _in_order(groups: Iterable[frozenset[str]], order: dict[str, int]) -> list[list[str]]:
    """The images of each group sorted by place, and the groups sorted by those."""
    return sorted((sorted(group, key=order.__getitem__) for group in groups), key=lambda images: [order[i] for i in images])


def _spare(images: Iterable[str], side: set[str], groups: Sequence[frozenset[str]]) -> str | None:
    """The first of `images` that is not any group's last one on this side."""
    return next((image for image in images if not any(_is_last(image, side, group) for group in groups)), None)


def _is_last(image: str, side: set[str], group: frozenset[str]) -> bool:
    return image in group and all(other == image or other not in side for other in group)
