"""Which image each row of training shows, as a function of (seed, row) alone: you can ask for any row first, so resuming is exact.

Rows come in passes. `uniform`: a pass is every image once, in random order. `balanced`: a pass is every image once, plus extra
draws of images whose labels are rare, so that every head finds its labels in a fair share of the rows:

    There are K different sets of images, each labelled for one or more heads (heads of one layer share a set; the set of a
    self-supervised head holds every image). Each set should fill at least 1 / 2K of the rows. A set with a share p of all images
    gets 1 / 2K - p / 2 of the rows for draws of its own, if that is positive; sets of 1 / K and more get none. All these draws
    together fill at most half of the rows, so a pass is at most twice as long as the images (up to rounding).

    A set's own draws go through its images in random order, again and again, across the ends of passes.

Both the draws and the images are spread evenly, not placed independently: of any W consecutive rows within a pass, at least
W / 2K - C show a given set, where C is 3, plus 2 for each set with draws of its own and for each combination of sets that occurs
among the images. If all images are labelled for all heads, balanced and uniform give the same order.

Letters: N images, K sets.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np

from headrace_trainer.data.splits.split import Split
from headrace_trainer.data.targets import Array

_ORDER, _DRAWS = 0, 2
"""Keep the random streams of one seed apart; 1 is the augmentation's (loader.py)."""


class ImageOrder:
    """The index in `split` of the image that each row shows; rows count from 0 across all iterations."""

    def __init__(self, split: Split, sampler: Literal["balanced", "uniform"], seed: int) -> None:
        self._images = len(split)
        self._seed = seed
        self._heads = _heads_by_set(split) if sampler == "balanced" else {}
        self._sets = [np.frombuffer(key, np.bool_) for key in self._heads]
        self._signatures = sum((labelled.astype(np.int64) << number for number, labelled in enumerate(self._sets)), np.int64(0))
        self._draws = _draws([float(labelled.mean()) for labelled in self._sets], self._images)
        self.rows = self._images + sum(self._draws)
        """Rows per pass."""
        self._pass: Callable[[int], Array] = lru_cache(maxsize=4)(self._make_pass)
        self._shuffled: Callable[[int, int], Array] = lru_cache(maxsize=4 * max(1, len(self._sets)))(self._make_shuffled)

    def __call__(self, row: int) -> int:
        return int(self._pass(row // self.rows)[row % self.rows])

    def describe(self) -> list[str]:
        """A log line for each set of images that is drawn more often."""
        lines = []
        for names, labelled, draws in zip(self._heads.values(), self._sets, self._draws, strict=True):
            if draws:
                count = int(labelled.sum())
                lines.append(
                    f"{', '.join(names)}: only {count} of {self._images} images are labelled; each is shown "
                    f"{1 + draws / count:.3g} times as often as others (training.sampler: balanced)"
                )
        return lines

    def _make_pass(self, number: int) -> Array:
        random = np.random.default_rng((self._seed, _ORDER, number))
        images = random.permutation(self._images)
        if not self._draws:
            return images
        images = images[_spread(np.broadcast_to(self._signatures, self._images)[images], random)]
        draws = [self._drawn(of_set, number * count, count) for of_set, count in enumerate(self._draws)]
        rows = np.concatenate([images, *draws])
        kinds = np.repeat(np.arange(1 + len(draws)), [len(images), *self._draws])
        return rows[_spread(kinds, random)]

    def _drawn(self, of_set: int, start: int, count: int) -> Array:
        """A set's draws `start` to `start + count`."""
        size = int(self._sets[of_set].sum())
        rounds = range(start // size, -(-(start + count) // size))
        drawn = [self._shuffled(of_set, number) for number in rounds] or [np.zeros(0, np.int64)]
        first = start - start // size * size
        return np.concatenate(drawn)[first : first + count]

    def _make_shuffled(self, of_set: int, number: int) -> Array:
        random = np.random.default_rng((self._seed, _DRAWS, of_set, number))
        return random.permutation(np.flatnonzero(self._sets[of_set]))


def _heads_by_set(split: Split) -> dict[bytes, list[str]]:
    """Head names by the set of images that are labelled for them, bool [N] as bytes."""
    found: dict[bytes, list[str]] = {}
    for head in split.heads:
        labelled = split.of(head)
        chosen = [head.spec.task.self_supervised or image in labelled for image in split.images]
        found.setdefault(np.array(chosen, np.bool_).tobytes(), []).append(head.spec.name)
    return {key: names for key, names in found.items() if any(key)}


def _draws(shares: list[float], images: int) -> list[int]:
    """How many draws of its own each set gets in a pass over `images` images, given its share of them."""
    least = 1 / (2 * max(1, len(shares)))
    wanted = [max(0.0, least - share / 2) for share in shares]
    return [int(np.ceil(share * images / (1 - sum(wanted)))) for share in wanted]


def _spread(kinds: Array, random: np.random.Generator) -> Array:
    """An order of items of kinds int64 [n] that spreads each kind evenly and keeps the order within it.

    Each kind marks the line from 0 to 1 in equal steps from a random start; the marks give the order.
    """
    _, kind, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    by_kind = np.argsort(kind, kind="stable")
    place = np.empty(len(kinds))
    place[by_kind] = np.arange(len(kinds)) - np.repeat(np.cumsum(counts) - counts, counts)
    marks = (place + random.random(len(counts))[kind]) / counts[kind]
    return np.argsort(marks, kind="stable")
