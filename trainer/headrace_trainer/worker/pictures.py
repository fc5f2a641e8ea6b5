"""Draws what each head predicts for some held-out images, and how they are labelled, as JPEG files."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from torch import Tensor

from headrace_api import runfolder
from headrace_api.run import PictureRecord
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.heads.base import Head
from headrace_trainer.results.base import Predictions
from headrace_trainer.worker.showcase import Showcase, picture_file

_LONGER_SIDE: Final = 384
"""Of a picture, at most, in pixels."""
_QUALITY: Final = 90


def are_drawn(evaluation: int) -> bool:
    """Whether a run's evaluation with this number, counted from 1, draws pictures.

    The first 32 do, then every second up to 64, every fourth up to 128, and so on: 1,000 evaluations leave 112 sets of pictures.
    """
    return evaluation % (1 << max(0, (evaluation - 1).bit_length() - 5)) == 0


class Pictures:
    """Draws the images of `showcase` below `output` at evaluations of an attempt, and their labels at the first one that draws."""

    def __init__(self, showcase: Showcase, output: Path) -> None:
        self._showcase = showcase
        self._output = output
        self._places = {
            head: {picture_file(image): place for place, image in enumerate(images)} for head, images in showcase.images.items()
        }
        self._truths: dict[tuple[str, str], bool] = {}
        """By head and image, whether there is a picture of the labels."""

    def draw(
        self, iteration: int, heads: Mapping[str, Head], batch: Batch, predictions: Mapping[str, Predictions]
    ) -> list[PictureRecord]:
        """Draw what a batch has of the showcase. An image that turned out to be unreadable, or badly labelled, is left out."""
        drawn = []
        for name, head in heads.items():
            rows = self._rows(name, batch)
            if not rows:
                continue
            self._draw_truth(name, head, batch, rows)
            found = _rows_of(predictions[name], rows)
            for row, picture in zip(rows, _drawn(head, batch, rows, found), strict=True):
                image = batch.names[row]
                file = picture_file(image)
                self._save(picture, runfolder.picture(iteration, name, file))
                drawn.append(PictureRecord(head=name, image=_readable(image), file=file, truth=self._truths[name, image]))
        return drawn

    def in_order(self, drawn: Sequence[PictureRecord]) -> list[PictureRecord]:
        """The pictures of an evaluation by head, the most telling image first."""
        heads = list(self._places)
        return sorted(drawn, key=lambda picture: (heads.index(picture.head), self._places[picture.head][picture.file]))

    def _rows(self, head: str, batch: Batch) -> list[int]:
        shown = self._showcase.images[head]
        labelled = batch.labelled[head].tolist() if head in self._showcase.labelled else [True] * len(batch.names)
        return [row for row, image in enumerate(batch.names) if image in shown and labelled[row]]

    def _draw_truth(self, name: str, head: Head, batch: Batch, rows: Sequence[int]) -> None:
        rows = [row for row in rows if (name, batch.names[row]) not in self._truths]
        if not rows:
            return
        labelled = name in self._showcase.labelled
        truth = head.truth(_rows_of(batch.targets[name], rows)) if labelled else None
        for row in rows:
            self._truths[name, batch.names[row]] = truth is not None
        if truth is not None:
            for row, picture in zip(rows, _drawn(head, batch, rows, truth), strict=True):
                self._save(picture, runfolder.truth_picture(name, picture_file(batch.names[row])))

    def _save(self, drawn: np.ndarray, key: str) -> None:
        """Write a JPEG that appears complete or not at all. Colours keep their full resolution: lines and letters are thin."""
        picture = Image.fromarray(drawn)
        picture.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
        path = self._output / key
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        picture.save(temporary, format="JPEG", quality=_QUALITY, subsampling="4:4:4")
        temporary.rename(path)


def _readable(image: str) -> str:
    """A path that JSON can hold: on a disk, it need not be UTF-8."""
    return image.encode(errors="replace").decode()


def _rows_of(tensors: Mapping[str, Tensor], chosen: Sequence[int]) -> dict[str, Tensor]:
    """The chosen images of a batch, on the CPU."""
    return {name: tensor[list(chosen)].cpu() for name, tensor in tensors.items()}


def _drawn(head: Head, batch: Batch, rows: Sequence[int], predictions: Predictions) -> list[np.ndarray]:
    """The rows of a batch, drawn with `predictions`, which cover only these."""
    pixels = batch.images[list(rows)].permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return [head.draw(pixels[index], predictions, index) for index in range(len(rows))]
