"""What every kind of results has in common: files of one head, grown image by image, under their names once they are whole."""

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
"""What a head's decoding gives: batched and padded, or for one image. Each head documents its keys."""


@dataclass(frozen=True)
class Image:
    """An image that was looked at, as results speak of it."""

    id: int
    """From 1, in the order of looking."""
    name: str
    output: str
    """What files about it are called, without suffix; may have folders in it."""
    size: tuple[int, int]
    """Height and width, upright."""

    def to_coco(self) -> dict[str, Any]:
        """As COCO's `images` have it."""
        return {"id": self.id, "file_name": self.name, "height": self.size[0], "width": self.size[1]}


class Results(ABC):
    """The files of one head in `folder`, which exists. `labels` says what its numbers mean. Objects that score less than
    `least_score` are left out."""

    def __init__(self, folder: Path, labels: LabelSpace, least_score: float) -> None:
        self.folder, self.labels, self.least_score = folder, labels, least_score

    @abstractmethod
    def add(self, image: Image, predictions: Predictions, placement: Placement) -> None:
        """Take in the predictions for one image: without the batch, in the network's pixels. `placement` leads to the image's."""

    def close(self) -> None:  # noqa: B027 - a file an image is whole without it
        """Write what is left; only then all is there."""

    def file(self, image: Image, suffix: str) -> Path:
        """Where a file about `image` goes; its folder is made."""
        path = self.folder / f"{image.output}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class GrowingFile:
    """A text file that bears its name once it is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._file = self._partial.open("w", newline="", encoding="utf-8")

    def write(self, text: str) -> int:
        """As TextIO."""
        return self._file.write(text)

    def close(self) -> None:
        """It is whole."""
        self._file.close()
        self._partial.rename(self._path)


class JsonArray:
    """A JSON array that is written entry by entry, in a file of its own or as the first field of an object."""

    def __init__(self, path: Path, field: str | None = None) -> None:
        self._file = GrowingFile(path)
        self._in_object = field is not None
        self._file.write("[" if field is None else f'{{"{field}": [')
        self._separator = "\n"

    def add(self, entry: Mapping[str, Any]) -> None:
        """One entry a line."""
        self._file.write(self._separator + json.dumps(entry, separators=(",", ":")))
        self._separator = ",\n"

    def close(self, fields: Mapping[str, Any] | None = None) -> None:
        """End it, with the other fields of the object."""
        self._file.write("\n]")
        for name, value in (fields or {}).items():
            self._file.write(f',\n"{name}": {json.dumps(value)}')
        self._file.write("}\n" if self._in_object else "\n")
        self._file.close()


def write_json(path: Path, content: Any) -> None:
    """A JSON file that is there whole or not at all."""
    file = GrowingFile(path)
    file.write(json.dumps(content, indent=1) + "\n")
    file.close()
