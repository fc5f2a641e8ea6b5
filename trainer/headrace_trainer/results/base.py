"""The base of all results: one head's files, written image by image, renamed to their final names once complete."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from headrace_trainer.label_space import LabelSpace
from headrace_trainer.results.placement import Placement

Predictions = Mapping[str, Tensor]
"""What a head's decoding returns: batched and padded, or for one image. Each head documents its keys."""


@dataclass(frozen=True)
class Image:
    """An image, as results refer to it."""

    id: int
    """Counted from 1, in order of processing."""
    name: str
    output: str
    """Name of the files about it, without suffix; may contain folders."""
    size: tuple[int, int]
    """Height and width of the upright image."""

    def to_coco(self) -> dict[str, Any]:
        """An entry of COCO's `images`."""
        return {"id": self.id, "file_name": self.name, "height": self.size[0], "width": self.size[1]}


class Results(ABC):
    """One head's files in `folder`, which must exist. `labels` says what the numbers mean. Objects that score below `least_score`
    are left out."""

    def __init__(self, folder: Path, labels: LabelSpace, least_score: float) -> None:
        self.folder, self.labels, self.least_score = folder, labels, least_score

    @abstractmethod
    def add(self, image: Image, predictions: Predictions, placement: Placement) -> None:
        """Add one image's predictions, without the batch dimension, in the network's pixels; `placement` maps to the image's."""

    def close(self) -> None:  # noqa: B027 - not needed with one file per image
        """Write what is left. The results are complete only after this."""

    def file(self, image: Image, suffix: str) -> Path:
        """Path of a file about `image`; creates its folder."""
        path = self.folder / f"{image.output}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class GrowingFile:
    """A text file that gets its final name when it is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._file = self._partial.open("w", newline="", encoding="utf-8")

    def write(self, text: str) -> int:
        """Like TextIO.write."""
        return self._file.write(text)

    def close(self) -> None:
        """Complete the file: rename it to its final name."""
        self._file.close()
        self._partial.rename(self._path)


class JsonArray:
    """A JSON array written entry by entry, as the whole file or as the first field of an object."""

    def __init__(self, path: Path, field: str | None = None) -> None:
        self._file = GrowingFile(path)
        self._in_object = field is not None
        self._file.write("[" if field is None else f'{{"{field}": [')
        self._separator = "\n"

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add an entry, one per line."""
        self._file.write(self._separator + json.dumps(entry, separators=(",", ":")))
        self._separator = ",\n"

    def close(self, fields: Mapping[str, Any] | None = None) -> None:
        """End the array, then write the object's other fields and end it."""
        self._file.write("\n]")
        for name, value in (fields or {}).items():
            self._file.write(f',\n"{name}": {json.dumps(value)}')
        self._file.write("}\n" if self._in_object else "\n")
        self._file.close()


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that appears complete or not at all."""
    file = GrowingFile(path)
    file.write(json.dumps(content, indent=1) + "\n")
    file.close()
