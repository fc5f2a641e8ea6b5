"""The common part of the writers of scenes' labels. Each layer and split has one writer, which takes one scene at a time."""

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from headrace_scenes.scenes import Scene


@dataclass(frozen=True)
class ImageEntry:
    """An image as label files refer to it."""

    index: int
    stem: str
    path: str
    """Relative to the dataset's root."""
    size: int


class SceneLayer(ABC):
    """One split of one layer."""

    task: ClassVar[str]
    format: ClassVar[str]
    suffix: ClassVar[str] = ""
    """Suffix of the split's file; empty for a folder."""
    extra: ClassVar[Mapping[str, Any]] = {}
    """Additional keys of the layer's entry in dataset.json."""

    def __init__(self, root: Path, name: str, split: str) -> None:
        self.path = root / self.place(name, split)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.suffix:
            self.path.mkdir()

    @classmethod
    def place(cls, name: str, split: str) -> str:
        """The split's path, relative to the dataset's root."""
        return f"{name}_{split}{cls.suffix}" if cls.suffix else f"{name}/{split}"

    @classmethod
    def entry(cls, name: str) -> dict[str, Any]:
        """The layer's entry in dataset.json."""
        splits = {split: cls.place(name, split) for split in ("train", "val")}
        return {"name": name, "task": cls.task, "format": cls.format, "splits": splits, **cls.extra}

    @abstractmethod
    def add(self, image: ImageEntry, scene: Scene) -> None:
        """Add a scene."""

    def close(self) -> None:  # noqa: B027 - folders are written as scenes come
        """Write what needs all scenes."""


def write_json_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Writes one JSON object per line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Writes a header and rows."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def tight_box(mask: np.ndarray) -> list[int]:
    """COCO box x, y, width, height around the True pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]
