"""A layer's keypoints: their names, how mirroring swaps them, which are joined, and how precisely people place them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

COCO_PERSON = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
_COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
"""https://cocodataset.org/#keypoints-eval"""
OTHER_SIGMA = 0.05
"""For keypoints other than COCO's, whose sigmas are not measured: near the mean of COCO's (0.066), a little stricter."""

_SIDE = re.compile("left|right|(?<![a-z0-9])[lr](?![a-z0-9])")
_OPPOSITE = {"left": "right", "right": "left", "l": "r", "r": "l"}

AREA_OF_BOX = 0.53
"""Share of its box that an object without a mask is assumed to cover: the scale of OKS (as in Ultralytics)."""


@dataclass(frozen=True)
class KeypointTable:
    """K keypoints."""

    names: tuple[str, ...]
    mirrored: tuple[int, ...]
    """For each keypoint, its index once the image is mirrored."""
    skeleton: tuple[tuple[int, int], ...]
    """Pairs of indices, from 0, to join in pictures."""
    sigmas: tuple[float, ...]
    """The constants of OKS."""

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        mirrored: Sequence[int] | None = None,
        skeleton: Sequence[Sequence[int]] = (),
        sigmas: Sequence[float] | None = None,
    ) -> "KeypointTable":
        """A table. By default, `mirrored` goes by name ("left" and "right", or "l" and "r", are swapped), and `sigmas` are COCO's
        for COCO's 17 names and OTHER_SIGMA for all others.

        Raises ValueError, which says what was expected, if the parts do not fit together.
        """
        count = len(names)
        mirrored = _mirrored_by_name(names) if mirrored is None else mirrored
        if len(mirrored) != count or any(not 0 <= i < count or mirrored[i] != number for number, i in enumerate(mirrored)):
            raise ValueError(f"mirrored: expected {count} indices that swap keypoints in pairs")
        if any(len(pair) != 2 or not all(0 <= i < count for i in pair) for pair in skeleton):
            raise ValueError(f"skeleton: expected pairs of indices from 0 to {count - 1}")
        if sigmas is None:
            sigmas = _COCO_SIGMAS if tuple(names) == COCO_PERSON else (OTHER_SIGMA,) * count
        if len(sigmas) != count or any(sigma <= 0 for sigma in sigmas):
            raise ValueError(f"sigmas: expected {count} numbers above 0")
        return cls(tuple(names), tuple(mirrored), tuple((a, b) for a, b in skeleton), tuple(sigmas))


def _mirrored_by_name(names: Sequence[str]) -> list[int]:
    index = {name.lower(): number for number, name in enumerate(names)}
    return [index.get(_other_side(name.lower()), number) for number, name in enumerate(names)]


def _other_side(name: str) -> str:
    """ "left ear" ↔ "right ear", "l_ear" ↔ "r_ear"; a lone "l" may just be the twelfth letter."""
    return name if len(name) == 1 else _SIDE.sub(lambda side: _OPPOSITE[side[0]], name)
