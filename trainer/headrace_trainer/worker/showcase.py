"""Which held-out images are drawn: the same ones for every run on the same data, spread over its classes.

Images are taken in an order of their own, that of the SHA-256 of their paths, so neither the names of heads nor the numbers of
classes matter; nor do other images, unless they are among the chosen ones.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from typing import Final

from headrace_trainer.data.annotations import Annotation
from headrace_trainer.data.splits.split import Split

MOST_IMAGES: Final = 8
"""For each head."""
_NOTHING: Final = -1
"""Images without an object, or whose classes only a mask tells, are a kind of their own."""


@dataclass(frozen=True)
class Showcase:
    """The images to draw for each head, the most telling first."""

    images: Mapping[str, tuple[str, ...]]
    """By head: paths from the dataset's root."""
    labelled: frozenset[str]
    """The heads whose images are labelled for them."""


def choose_showcase(split: Split) -> Showcase:
    """For each head, images of `split` that are labelled for it; any image for self-supervised heads and if none is labelled."""
    chosen: dict[str | None, tuple[str, ...]] = {}
    images: dict[str, tuple[str, ...]] = {}
    labelled: set[str] = set()
    for head in split.heads:
        annotations = {} if head.spec.task.self_supervised else split.of(head)
        layer = head.layer if annotations else None
        if layer not in chosen:
            chosen[layer] = spread(annotations if annotations else dict.fromkeys(split.images))
        images[head.spec.name] = chosen[layer]
        if annotations or head.spec.task.self_supervised:
            labelled.add(head.spec.name)
    return Showcase(images, frozenset(labelled))


def spread(annotations: Mapping[str, Annotation | None]) -> tuple[str, ...]:
    """At most MOST_IMAGES of these images: again and again the first one that shows a class which was shown least so far."""
    waiting: dict[int, list[tuple[bytes, str]]] = defaultdict(list)  # the first one last
    for place in sorted(((_digest(image), image) for image in annotations), reverse=True):
        for kind in _kinds(annotations[place[1]]):
            waiting[kind].append(place)
    shown: Counter[int] = Counter()
    chosen: dict[str, None] = {}
    # How often each kind was shown, and its first image. Both only grow, so an entry that is out of date is never too far back.
    heap = [(0, places[-1], kind) for kind, places in waiting.items()]
    heapify(heap)
    while heap and len(chosen) < MOST_IMAGES:
        times, (_, image), kind = heap[0]
        if times == shown[kind] and image not in chosen:
            chosen[image] = None
            shown.update(_kinds(annotations[image]))
        places = waiting[kind]
        while places and places[-1][1] in chosen:
            places.pop()
        if places:
            heapreplace(heap, (shown[kind], places[-1], kind))
        else:
            heappop(heap)
    return tuple(chosen)


def picture_file(image: str) -> str:
    """Name of an image's pictures: short, and the same for every run."""
    return f"{_digest(image).hex()[:12]}.jpg"


def _digest(image: str) -> bytes:
    return hashlib.sha256(image.encode(errors="surrogateescape")).digest()


def _kinds(annotation: Annotation | None) -> Iterable[int]:
    return set(annotation.class_indices() if annotation is not None else ()) or (_NOTHING,)
