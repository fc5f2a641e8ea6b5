"""One vector per image: vectors.npy, float32 [images, D], in the order of the names in images.csv."""

import csv
import shutil
from pathlib import Path

import numpy as np

from headrace_trainer.label_space import LabelSpace
from headrace_trainer.results.base import GrowingFile, Image, Predictions, Results
from headrace_trainer.results.placement import Placement


class VectorResults(Results):
    """For heads whose prediction `name` is a vector. Vectors go to a temporary file first: an NPY file starts with their number."""

    def __init__(self, folder: Path, labels: LabelSpace, least_score: float, name: str) -> None:
        super().__init__(folder, labels, least_score)
        self._name = name
        self._names = GrowingFile(folder / "images.csv")
        self._rows = csv.writer(self._names, lineterminator="\n")
        self._rows.writerow(["image"])
        self._numbers = (folder / ".vectors.partial").open("w+b")
        self._shape = (0, 0)

    def add(self, image: Image, predictions: Predictions, placement: Placement) -> None:  # noqa: ARG002 - vectors have no position
        vector = predictions[self._name].float().numpy()
        self._rows.writerow([image.name])
        self._numbers.write(vector.astype("<f4").tobytes())
        self._shape = (self._shape[0] + 1, len(vector))

    def close(self) -> None:
        self._names.close()
        partial, whole = Path(self._numbers.name), self.folder / ".vectors.npy.partial"
        self._numbers.seek(0)
        with whole.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": self._shape}
            np.lib.format.write_array_header_1_0(file, header)
            shutil.copyfileobj(self._numbers, file)
        self._numbers.close()
        partial.unlink()
        whole.rename(self.folder / "vectors.npy")
