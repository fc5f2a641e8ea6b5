"""Which images are scored on where nobody divided them: the same on every machine, today and after images came or went."""

import hashlib
from collections.abc import Iterable


def place(image: str) -> float:
    """Where `image`, a path from the dataset's root, lies between 0 and 1: evenly spread, by a hash of the path."""
    return int.from_bytes(hashlib.blake2b(image.encode(), digest_size=8).digest()) / 2**64


def held_out(images: Iterable[str], share: float) -> set[str]:
    """The images whose place is below `share`.

    Of two images or more at least one is held out and at least one is not: where the hash gives none, the first or last by place.
    """
    placed = sorted((place(image), image) for image in images)
    count = sum(1 for where, _ in placed if where < share)
    if len(placed) > 1:
        count = min(max(count, 1), len(placed) - 1)
    return {image for _, image in placed[:count]}
