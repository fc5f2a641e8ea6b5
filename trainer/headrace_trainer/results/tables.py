"""Predictions for whole images: predictions.csv, one row per image, with class names."""

import csv
from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from headrace_trainer.label_space import LabelSpace
from headrace_trainer.results.base import GrowingFile, Image, Predictions, Results
from headrace_trainer.results.placement import Placement


class TableResults(Results):
    """A table of `columns` after the image's name."""

    def __init__(self, folder: Path, labels: LabelSpace, least_score: float) -> None:
        super().__init__(folder, labels, least_score)
        self._file = GrowingFile(folder / "predictions.csv")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(["image", *self.columns()])

    @abstractmethod
    def columns(self) -> list[str]:
        """Names of the columns."""

    @abstractmethod
    def row(self, predictions: Predictions) -> list[Any]:
        """The columns' values for one image."""

    def add(self, image: Image, predictions: Predictions, placement: Placement) -> None:  # noqa: ARG002 - rows have no position
        self._rows.writerow([image.name, *(_short(value) for value in self.row(predictions))])

    def close(self) -> None:
        self._file.close()


class LabelResults(TableResults):
    """Multiclass classification: the most probable class, then the probability of each."""

    def columns(self) -> list[str]:
        return ["label", *self.labels.classes]

    def row(self, predictions: Predictions) -> list[Any]:
        probabilities = predictions["probabilities"]
        return [self.labels.classes[int(probabilities.argmax())], *probabilities.tolist()]


class LabelSetResults(TableResults):
    """Multilabel classification: the labels that score at least one half, joined by ";", then the score of each."""

    def columns(self) -> list[str]:
        return ["labels", *self.labels.classes]

    def row(self, predictions: Predictions) -> list[Any]:
        scores = predictions["scores"].tolist()
        given = [name for name, score in zip(self.labels.classes, scores, strict=True) if score >= 0.5]
        return [";".join(given), *scores]


class ValueResults(TableResults):
    """Regression: the values, in the annotations' own units."""

    def columns(self) -> list[str]:
        return list(self.labels.values)

    def row(self, predictions: Predictions) -> list[Any]:
        return list(predictions["values"].tolist())


class TextResults(TableResults):
    """Text recognition: the text and its score."""

    def columns(self) -> list[str]:
        return ["text", "score"]

    def row(self, predictions: Predictions) -> list[Any]:
        characters = [self.labels.alphabet[number] for number in predictions["text"].tolist() if number >= 0]
        return ["".join(characters), float(predictions["scores"])]


class AnomalyResults(TableResults):
    """Anomaly detection: the image's score, 0 (normal) to 1; and <name>.png with every pixel's score, 16-bit grey, 65535 = 1."""

    def columns(self) -> list[str]:
        return ["score"]

    def row(self, predictions: Predictions) -> list[Any]:
        return [float(predictions["scores"])]

    def add(self, image: Image, predictions: Predictions, placement: Placement) -> None:
        super().add(image, predictions, placement)
        pixels = (placement.values(predictions["map"]).clamp(0, 1) * 65535).round().numpy().astype(np.uint16)
        Picture.fromarray(pixels).save(self.file(image, ".png"))


def _short(value: Any) -> Any:
    """Six digits: no network is more precise."""
    return f"{value:.6g}" if isinstance(value, float) else value
