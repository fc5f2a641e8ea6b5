"""Maps of the whole image, in files of their own that are read when needed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from headrace_trainer.data.annotations.base import Annotation, check_size
from headrace_trainer.data.problems import BadSampleError, is_of_the_machine
from headrace_trainer.data.targets import Anomaly, Array, Depth
from headrace_trainer.data.targets.geometry import Geometry

_ONE_CHANNEL = frozenset({"1", "L", "P", "I;16", "I;16B", "I"})


def one_channel(path: Path, where: str) -> Array:
    """int32 [h, w]: the values of a PNG (or similar) with one channel of 1, 8 or 16 bits, or its palette indices."""
    try:
        with Image.open(path) as image:
            if image.mode not in _ONE_CHANNEL:
                raise BadSampleError(f"{where}: expected one channel of 8 or 16 bits or a palette; found {image.mode}")
            return np.asarray(image).astype(np.int32)
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for broken files
        if is_of_the_machine(error):
            raise
        raise BadSampleError(f"{where}: not a readable PNG: {error}") from error


def size_in_header(path: Path) -> tuple[int, int]:
    """Height and width of an image file, without its pixels."""
    with Image.open(path) as image:
        return image.height, image.width


@dataclass(frozen=True)
class DepthFile(Annotation):
    """A depth map: an NPY array, or a PNG of 8 or 16 bits. Values that are not finite and above 0 are unknown."""

    path: Path
    where: str
    scale: float = 1.0
    """Depth is the file's value times this."""

    def stated_size(self) -> tuple[int, int] | None:
        if self._is_array:
            height, width = self._array().shape
            return height, width
        return size_in_header(self.path)

    def render(self, geometry: Geometry) -> Depth:
        values = self._array() if self._is_array else one_channel(self.path, self.where)
        check_size((values.shape[0], values.shape[1]), geometry, self.where)
        depth = geometry.place_map(values.astype(np.float32) * np.float32(self.scale), 0)
        known = np.isfinite(depth) & (depth > 0)
        return Depth(np.where(known, depth, 0), known)

    @property
    def _is_array(self) -> bool:
        return self.path.suffix.lower() == ".npy"

    def _array(self) -> Array:
        """[h, w] of numbers, mapped into memory."""
        try:
            values: Array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            if is_of_the_machine(error):
                raise
            raise BadSampleError(f"{self.where}: not a readable NPY file: {error}") from error
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            raise BadSampleError(f"{self.where}: expected an array [height, width] of numbers; found {values.dtype} {values.shape}")
        return values


@dataclass(frozen=True)
class AnomalyLabel(Annotation):
    """Whether an image is anomalous, and where."""

    anomalous: bool
    mask: Path | None = None
    """A PNG with one channel, nonzero where the image is anomalous; None if this is not marked."""
    where: str = "the annotation"

    @property
    def objects(self) -> int:
        return int(self.anomalous)

    def stated_size(self) -> tuple[int, int] | None:
        return size_in_header(self.mask) if self.mask is not None else None

    def render(self, geometry: Geometry) -> Anomaly:
        if self.mask is None:
            return Anomaly(self.anomalous, np.zeros(geometry.canvas, np.bool_), not self.anomalous)
        marked = one_channel(self.mask, self.where) != 0
        check_size((marked.shape[0], marked.shape[1]), geometry, self.where)
        if marked.any() and not self.anomalous:
            raise BadSampleError(f"{self.where}: expected an empty mask for an image labelled normal; found marked pixels")
        return Anomaly(self.anomalous, geometry.place_map(marked, 0), True)
