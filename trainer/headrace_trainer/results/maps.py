"""Maps of the whole image, one file per image, at the upright image's size."""

from pathlib import Path

import numpy as np
from PIL import Image as Picture

from headrace_trainer.data.targets import IGNORE, Array
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.drawing import color_of
from headrace_trainer.results.base import Image, JsonArray, Predictions, Results, write_json
from headrace_trainer.results.placement import Placement

_IN_A_PALETTE = 256


class ClassMapResults(Results):
    """Semantic segmentation: a PNG whose pixels are class numbers from 0, with a palette for viewing.

    16-bit grey for more than 256 classes. classes.json names the classes in order. A mask-png layer can read all of this.
    """

    def add(self, image: Image, predictions: Predictions, placement: Placement) -> None:
        labels = placement.labels(predictions["map"]).numpy()
        if len(self.labels.classes) > _IN_A_PALETTE:
            picture = Picture.fromarray(labels.astype(np.uint16))
        else:
            picture = Picture.fromarray(labels.astype(np.uint8))
            picture.putpalette([channel for label in range(_IN_A_PALETTE) for channel in color_of(label)])
        picture.save(self.file(image, ".png"))

    def close(self) -> None:
        write_json(self.folder / "classes.json", list(self.labels.classes))


class PanopticResults(Results):
    """Panoptic segmentation, in COCO's format (https://cocodataset.org/#format-results).

    panoptic.json, and in panoptic/ one PNG per image, whose pixels are R + 256 G + 65536 B = the segment's id, 0 for none.
    category_id counts classes from 1. Segments without pixels in the image are left out.
    """

    def __init__(self, folder: Path, labels: LabelSpace, least_score: float) -> None:
        super().__init__(folder, labels, least_score)
        self._annotations = JsonArray(folder / "panoptic.json", field="annotations")
        self._images: list[dict[str, object]] = []

    def add(self, image: Image, predictions: Predictions, placement: Placement) -> None:
        segments = placement.labels(predictions["segments"]).numpy()
        ids = np.where(segments == IGNORE, 0, segments + 1)
        path = self.folder / "panoptic" / f"{image.output}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)).save(path)
        labels, scores = predictions["classes"].tolist(), predictions["scores"].tolist()
        numbers, areas = np.unique(segments[segments != IGNORE], return_counts=True)
        infos = [
            {
                "id": number + 1,
                "category_id": labels[number] + 1,
                "area": area,
                "bbox": _bounds(segments == number),
                "iscrowd": 0,
                "score": round(scores[number], 5),
            }
            for number, area in zip(numbers.tolist(), areas.tolist(), strict=True)
        ]
        self._images.append(image.to_coco())
        self._annotations.add({"image_id": image.id, "file_name": f"{image.output}.png", "segments_info": infos})

    def close(self) -> None:
        things = self.labels.things or (True,) * len(self.labels.classes)
        categories = [
            {"id": label + 1, "name": name, "isthing": int(things[label]), "color": color_of(label)}
            for label, name in enumerate(self.labels.classes)
        ]
        self._annotations.close({"images": self._images, "categories": categories})


class DepthResults(Results):
    """Depth estimation: one NPY file per image, float32 [height, width] in the unit of the annotations."""

    def add(self, image: Image, predictions: Predictions, placement: Placement) -> None:
        np.save(self.file(image, ".npy"), placement.values(predictions["depth"]).numpy(), allow_pickle=False)


class PictureResults(Results):
    """Autoencoding: the reconstructed image, a PNG with 8 bits per channel."""

    def add(self, image: Image, predictions: Predictions, placement: Placement) -> None:
        pixels = placement.values(predictions["image"]).permute(1, 2, 0)
        Picture.fromarray((pixels * 255).round().byte().numpy()).save(self.file(image, ".png"))


def _bounds(mask: Array) -> list[int]:
    """x, y, width and height of the True pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]
