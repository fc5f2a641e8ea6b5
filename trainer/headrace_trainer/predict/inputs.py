"""Finds, names and prefetches the images to predict on."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.data.files import IMAGE_SUFFIXES, is_image, walk
from headrace_trainer.data.picture import Picture
from headrace_trainer.data.problems import is_of_the_machine
from headrace_trainer.data.targets import Array
from headrace_trainer.data.targets.geometry import Geometry, letterbox

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Source:
    """An image file."""

    path: Path
    name: str
    """Its path relative to the deepest folder that contains all images, with "/"; unique."""
    output: str
    """Name for files about it: the same without its suffix, or with it if some images differ only in suffix."""


@dataclass(frozen=True)
class Loaded:
    """An image, decoded and letterboxed."""

    source: Source
    pixels: Array
    """uint8 [H, W, 3], the network's input."""
    geometry: Geometry
    """The letterbox from the upright image to the input."""
    picture: Array | None
    """uint8 [h, w, 3]: the upright image to draw on, shrunk if it is large; None without pictures."""


@dataclass(frozen=True)
class Unreadable:
    """A file that is not an image or is broken."""

    source: Source
    reason: str


def find_images(places: Sequence[Path]) -> list[Source]:
    """The image files in `places`, in order, without duplicates; folders give all files below them by name, except hidden ones.

    Raises FatalError(BAD_DATASET) if a place does not exist or there are no images.
    """
    files = dict.fromkeys(file for place in places for file in _files(place))
    if not files:
        raise FatalError(Reason.BAD_DATASET, f"no image in {', '.join(map(str, places))}: supported files end in {_suffixes()}")
    root = Path(os.path.commonpath([file.parent for file in files]))
    names = [PurePosixPath(file.relative_to(root)) for file in files]
    stems = [str(name.with_suffix("")) for name in names]
    outputs = stems if len(set(stems)) == len(stems) else [str(name) for name in names]
    return [Source(file, str(name), output) for file, name, output in zip(files, names, outputs, strict=True)]


def _files(place: Path) -> Iterator[Path]:
    """Absolute paths, so that `a/../a/x.jpg` and `a/x.jpg` are one image. Links are not resolved: people know files by name."""
    absolute = Path(os.path.normpath(place.absolute()))
    if absolute.is_file():
        yield absolute
    elif absolute.is_dir():
        yield from sorted(absolute / name for name in walk(absolute) if is_image(name))
    else:
        raise FatalError(Reason.BAD_DATASET, f"{place}: there is no such file or folder")


def _suffixes() -> str:
    return ", ".join(sorted(IMAGE_SUFFIXES))


def load_images(
    sources: Iterable[Source], canvas: tuple[int, int], picture_side: int | None, threads: int
) -> Iterator[Loaded | Unreadable]:
    """Read the images in order, prefetching some, for a network with (height, width) `canvas` as input.

    `picture_side` is the maximum length, in pixels, of the longer side of `Loaded.picture`; None for no pictures. Machine faults,
    such as a failing disk, are raised.
    """

    def load(source: Source) -> Loaded | Unreadable:
        try:
            with Picture(source.path) as image:
                geometry = letterbox(image.size, canvas)
                pixels = geometry.place_image(*image.pixels(geometry.scaled))
            return Loaded(source, pixels, geometry, _picture(source.path, picture_side))
        except Exception as error:  # decoders raise anything on hostile files
            if is_of_the_machine(error):
                raise
            return Unreadable(source, str(error) or type(error).__name__)

    return _ahead(load, sources, threads)


def _picture(path: Path, side: int | None) -> Array | None:
    """Decodes again: the network's input must match evaluations to the last bit, whatever is drawn."""
    if side is None:
        return None
    with Picture(path) as image:
        height, width = image.size
        scale = min(1.0, side / max(height, width))
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        return Geometry(image.size, size, 0, 0, size).place_image(*image.pixels(size))


def _ahead(function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> Iterator[_Result]:
    """The results of `function` on the items, in order, computed by threads a few items ahead."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix="images")
    waiting: deque[Future[_Result]] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(function, item))
            if len(waiting) > 2 * threads + 8:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
