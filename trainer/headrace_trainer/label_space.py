"""The meaning of a head's numbers: names of classes, keypoints and values, characters. From the dataset, stored in the model."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from headrace_api.first_few import first_few
from headrace_trainer.counted import counted


@dataclass(frozen=True)
class LabelSpace:
    """Parts that the task does not use are empty."""

    classes: tuple[str, ...] = ()
    """Names, in the order of indices; identities for metric learning."""
    things: tuple[bool, ...] = ()
    """For each class, whether it is countable (panoptic segmentation)."""
    keypoints: tuple[str, ...] = ()
    """Names of the K keypoints of an object."""
    mirrored: tuple[int, ...] = ()
    """For each keypoint, its index after the image is mirrored: left and right swap."""
    skeleton: tuple[tuple[int, int], ...] = ()
    """Pairs of keypoints, counted from 0, that pictures join by a line."""
    sigmas: tuple[float, ...] = ()
    """For each keypoint, how much annotators disagree on it, as a share of the object's scale (the constants of OKS)."""
    values: tuple[str, ...] = ()
    """Names of the D values of regression."""
    means: tuple[float, ...] = ()
    """Mean of each value over the labelled train images."""
    deviations: tuple[float, ...] = ()
    """Standard deviation of each value over the labelled train images; 1 where it would be 0."""
    alphabet: str = ""
    """Characters of text recognition, in the order of indices."""

    @property
    def described(self) -> str:
        """The contents for messages: "3 classes (red, green, blue)"."""
        parts = [f"{counted(len(names), part)} ({first_few(names, _SHOWN)})" for part in _PARTS if (names := getattr(self, part))]
        return " and ".join(parts) or "no labels"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON without empty parts."""
        return {part.name: _plain(value) for part in fields(self) if (value := getattr(self, part.name))}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "LabelSpace":
        """The inverse of `to_json`; TypeError for an unknown part."""
        return cls(**{part: _frozen(value) for part, value in content.items()})


_SHOWN = 8
"""How many names of each part a message shows."""

_PARTS = ("classes", "keypoints", "values", "alphabet")
"""The parts whose entries a head may learn."""


def _plain(value: Any) -> Any:
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(entry) for entry in value) if isinstance(value, list) else value
