"""What a row is."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

Spec = Mapping[str, Any]
"""A part of a TrainingJob's spec, in its own camelCase."""


class Data(ABC):
    """How a dataset is made."""

    kind: ClassVar[str]

    @abstractmethod
    def definition(self) -> dict[str, Any]:
        """Everything that the dataset depends on."""

    @abstractmethod
    def missing(self) -> str | None:
        """A sentence that says why it cannot be made here; None if it can."""

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Make it in `folder`, which is empty."""

    @property
    def key(self) -> str:
        """Its name in a cache."""
        return f"{self.kind}-{_digest(self.definition())}"


@dataclass(frozen=True)
class Row:
    """One training run."""

    name: str
    """`<table>/<what>`"""
    data: Data
    model: Spec
    """spec.model"""
    training: Spec
    """spec.training"""
    baseline: bool = True
    """Whether the simplest answer is scored too."""

    def definition(self) -> dict[str, Any]:
        """Everything that the scores depend on except the code, in JSON types."""
        definition = {
            "dataset": {"kind": self.data.kind, **self.data.definition()},
            "model": self.model,
            "training": self.training,
            "baseline": self.baseline,
        }
        return dict(json.loads(json.dumps(definition)))

    @cached_property
    def digest(self) -> str:
        """Changes with the definition."""
        return _digest(self.definition())


def _digest(definition: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:16]
