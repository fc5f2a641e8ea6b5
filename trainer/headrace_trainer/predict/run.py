"""Turns images into prediction files, in numbered steps."""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Picture

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.heads.base import Head
from headrace_trainer.predict import messages
from headrace_trainer.predict.inputs import Loaded, Unreadable, find_images, load_images
from headrace_trainer.predict.model import TrainedModel
from headrace_trainer.results.base import Image, Predictions, Results, write_json
from headrace_trainer.results.placement import Placement, placed

INDEX = "predictions.json"
"""The index of all results, written last."""
PICTURES = "pictures"
PICTURE_SIDE = 1024
"""Maximum length of a picture's longer side, in pixels."""
_SAY_SECONDS = 0.2
_JPEG_QUALITY = 90


@dataclass
class Outcome:
    """The outcome for all images."""

    images: list[Image] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Names of images that could not be read."""
    seconds: float = 0.0
    """From the first image to the last, including reading and writing."""

    @property
    def looked_at(self) -> int:
        """Number of images processed, readable or not."""
        return len(self.images) + len(self.unreadable)


def predict(
    model: TrainedModel,
    places: list[Path],
    out: Path,
    *,
    least_score: float,
    pictures: bool,
    batch_size: int,
    threads: int,
) -> Outcome:
    """Write the predictions of `model` for the images in `places` into `out`, an empty or new folder.

    Skips images that cannot be read, with a warning. Raises FatalError if nothing can be done.
    """
    # 1. Find the images and prepare the output folder.
    sources = find_images(places)
    _make_empty(out)
    writer = _Writer(model.heads, out, least_score)
    # 2. Predict, write and draw batch by batch.
    outcome, started, said = writer.outcome, time.monotonic(), 0.0
    messages.say_progress(0, len(sources))
    loaded = load_images(sources, model.image_size, PICTURE_SIDE if pictures else None, threads)
    for batch in _batches(writer.readable(loaded), batch_size):
        images = torch.from_numpy(np.stack([one.pixels for one in batch])).permute(0, 3, 1, 2)
        writer.add(batch, model.predict(images))
        if time.monotonic() - said >= _SAY_SECONDS:
            messages.say_progress(outcome.looked_at, len(sources))
            said = time.monotonic()
    # 3. Write the index last: everything is complete.
    writer.close()
    outcome.seconds = time.monotonic() - started
    messages.say_progress(len(sources), len(sources))
    return outcome


def _make_empty(out: Path) -> None:
    try:
        if out.is_dir() and any(out.iterdir()):
            raise FatalError(Reason.INVALID_SPEC, f"{out} is not empty: choose another folder with --out, or remove it")
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FatalError(Reason.INVALID_SPEC, f"{out} cannot be written to: {error}") from error


def _batches(items: Iterable[Loaded], size: int) -> Iterator[list[Loaded]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


class _Writer:
    """Every head's results and pictures below `out`."""

    def __init__(self, heads: dict[str, Head], out: Path, least_score: float) -> None:
        self.outcome = Outcome()
        self._heads, self._out = heads, out
        self._results: dict[str, Results] = {}
        for name, head in heads.items():
            (out / name).mkdir()
            self._results[name] = head.results(out / name, least_score)

    def readable(self, loaded: Iterable[Loaded | Unreadable]) -> Iterator[Loaded]:
        """The readable images; warns about the others and records them."""
        for one in loaded:
            if isinstance(one, Loaded):
                yield one
            else:
                messages.warn(f"skipped {one.source.path}: {one.reason}")
                self.outcome.unreadable.append(one.source.name)

    def add(self, batch: Sequence[Loaded], predictions: Mapping[str, Predictions]) -> None:
        """Write and draw the predictions for a batch."""
        for index, one in enumerate(batch):
            image = Image(len(self.outcome.images) + 1, one.source.name, one.source.output, one.geometry.source)
            for name in self._heads:
                found = {key: value[index] for key, value in predictions[name].items()}
                self._results[name].add(image, found, Placement(one.geometry, image.size))
                if one.picture is not None:
                    self._draw(name, image, one, found)
            self.outcome.images.append(image)

    def close(self) -> None:
        """Close all files, the index last."""
        for results in self._results.values():
            results.close()
        index = {
            "version": 1,
            "heads": {name: head.task.value for name, head in self._heads.items()},
            "images": [image.to_coco() for image in self.outcome.images],
            "unreadable": self.outcome.unreadable,
        }
        write_json(self._out / INDEX, index)

    def _draw(self, name: str, image: Image, one: Loaded, found: Predictions) -> None:
        assert one.picture is not None, "pictures were asked for"
        height, width = one.picture.shape[:2]
        in_picture = placed(found, Placement(one.geometry, (height, width)))
        drawn = self._heads[name].draw(one.picture, {key: value[None] for key, value in in_picture.items()}, 0)
        path = self._out / PICTURES / name / f"{image.output}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(drawn).save(path, quality=_JPEG_QUALITY)
