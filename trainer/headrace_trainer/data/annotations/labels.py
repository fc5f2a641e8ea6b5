"""Labels of whole images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace_trainer.data.annotations.base import Annotation
from headrace_trainer.data.targets import Array, Identity, Label, Labels, Text, Values
from headrace_trainer.data.targets.geometry import Geometry


@dataclass(frozen=True)
class ImageLabel(Annotation):
    """One class for the whole image."""

    label: int

    def class_indices(self) -> Sequence[int]:
        return (self.label,)

    def render(self, _: Geometry) -> Label:
        return Label(self.label)


@dataclass(frozen=True)
class IdentityLabel(Annotation):
    """Who or what the image shows: the identity's index in the class table."""

    label: int

    def class_indices(self) -> Sequence[int]:
        return (self.label,)

    def render(self, _: Geometry) -> Identity:
        return Identity(self.label)


@dataclass(frozen=True)
class LabelSet(Annotation):
    """Any number of classes for the whole image."""

    labels: Sequence[int]
    classes: int
    """The number of classes."""

    def class_indices(self) -> Sequence[int]:
        return self.labels

    def render(self, _: Geometry) -> Labels:
        present = np.zeros(self.classes, np.bool_)
        present[list(self.labels)] = True
        return Labels(present)


@dataclass(frozen=True)
class ValueList(Annotation):
    """Numbers for the whole image. The effect of mirroring, zooming and cropping on them is unknown, so they stay unchanged."""

    values: Array
    """float32 [D]; NaN where unknown"""

    def render(self, _: Geometry) -> Values:
        known = np.isfinite(self.values)
        return Values(np.where(known, self.values, 0).astype(np.float32), known)


@dataclass(frozen=True)
class TextLabel(Annotation):
    """The text in the image. `Dataset.augmentation` keeps it readable: neither mirrored nor cut."""

    text: str

    @property
    def objects(self) -> int:
        return len(self.text)

    def render(self, _: Geometry) -> Text:
        return Text(self.text)
