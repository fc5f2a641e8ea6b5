"""How the labels of scenes are written: a writer a layer, that takes scenes one at a time."""

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from headrace_local.digit_scenes.glyphs import DIGITS
from headrace_local.digit_scenes.scenes import IGNORE, REGIONS, Scene
from headrace_local.digit_scenes.textures import TEXTURES

STEPS_OF_DEPTH = 1000
"""Depth maps are 16-bit PNGs of thousandths."""


@dataclass(frozen=True)
class ImageEntry:
    """An image as the files of labels speak of it."""

    index: int
    stem: str
    path: str
    """From the dataset's root."""
    size: int


class SceneLayer(ABC):
    """One split of one layer."""

    task: ClassVar[str]
    format: ClassVar[str]
    suffix: ClassVar[str] = ""
    """Of the split's file; none: a folder."""
    extra: ClassVar[Mapping[str, Any]] = {}
    """More of the layer's entry in dataset.json."""

    def __init__(self, root: Path, name: str, split: str) -> None:
        self.path = root / self.place(name, split)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.suffix:
            self.path.mkdir()

    @classmethod
    def place(cls, name: str, split: str) -> str:
        """Where the split is, from the dataset's root."""
        return f"{name}_{split}{cls.suffix}" if cls.suffix else f"{name}/{split}"

    @classmethod
    def entry(cls, name: str) -> dict[str, Any]:
        """What dataset.json says of the layer."""
        splits = {split: cls.place(name, split) for split in ("train", "val")}
        return {"name": name, "task": cls.task, "format": cls.format, "splits": splits, **cls.extra}

    @abstractmethod
    def add(self, image: ImageEntry, scene: Scene) -> None:
        """Take a scene."""

    def close(self) -> None:  # noqa: B027 - folders are written as scenes come
        """Write what is written in the end."""


class CocoLayer(SceneLayer):
    """COCO's JSON."""

    format = "coco"
    suffix = ".json"
    categories: ClassVar[list[dict[str, Any]]] = [{"id": index, "name": name} for index, name in enumerate(DIGITS)]

    def __init__(self, root: Path, name: str, split: str) -> None:
        super().__init__(root, name, split)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, image: ImageEntry, scene: Scene) -> None:
        file_name = image.path.removeprefix("images/")
        self._images.append({"id": image.index, "file_name": file_name, "width": image.size, "height": image.size})
        for number, (mask, digit) in enumerate(zip(scene.masks, scene.digits, strict=True)):
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image.index,
                    "category_id": int(digit),
                    "bbox": tight_box(mask),
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                    **self.more(scene, number),
                }
            )

    def more(self, scene: Scene, number: int) -> dict[str, Any]:  # noqa: ARG002 - boxes have nothing more
        """What a layer says of a digit besides its box and class."""
        return {}

    def close(self) -> None:
        content = {"images": self._images, "annotations": self._annotations, "categories": self.categories}
        self.path.write_text(json.dumps(content))


class Objects(CocoLayer):
    """Boxes."""

    task = "object-detection"


class Instances(CocoLayer):
    """Masks as uncompressed run lengths."""

    task = "instance-segmentation"

    def more(self, scene: Scene, number: int) -> dict[str, Any]:
        mask = scene.masks[number]
        return {"segmentation": {"size": list(mask.shape), "counts": run_lengths(mask)}}


class Keypoints(CocoLayer):
    """The corners of digits, which are all of one class."""

    task = "keypoint-detection"
    categories: ClassVar[list[dict[str, Any]]] = [
        {
            "id": 1,
            "name": "digit",
            "keypoints": ["top_left", "top_right", "bottom_right", "bottom_left"],
            "skeleton": [[1, 2], [2, 3], [3, 4], [4, 1]],
        }
    ]

    def more(self, scene: Scene, number: int) -> dict[str, Any]:
        # COCO's keypoints are numbers of pixels, half a pixel before where the pixel's centre is.
        corners = scene.corners[number] - 0.5
        visibility = np.where(scene.covered[number], 1, 2)
        triples = np.column_stack((corners.round(2), visibility)).ravel().tolist()
        return {"category_id": 1, "keypoints": triples, "num_keypoints": len(corners)}


class Digits(SceneLayer):
    """YOLO's lines `class cx cy w h` in shares of the image, all of class 0."""

    task = "object-detection"
    format = "yolo"
    extra: ClassVar[Mapping[str, Any]] = {"classes": ["digit"]}

    def add(self, image: ImageEntry, scene: Scene) -> None:
        boxes = (np.array(tight_box(mask)) / image.size for mask in scene.masks)
        lines = (f"0 {x + w / 2:.6f} {y + h / 2:.6f} {w:.6f} {h:.6f}\n" for x, y, w, h in boxes)
        (self.path / f"{image.stem}.txt").write_text("".join(lines))


class Regions(SceneLayer):
    """PNGs of class ids."""

    task = "semantic-segmentation"
    format = "mask-png"
    extra: ClassVar[Mapping[str, Any]] = {"classes": list(REGIONS), "ignore": IGNORE}

    def add(self, image: ImageEntry, scene: Scene) -> None:
        Image.fromarray(scene.regions).save(self.path / f"{image.stem}.png")


class Depth(SceneLayer):
    """16-bit PNGs."""

    task = "depth-estimation"
    format = "depth"
    extra: ClassVar[Mapping[str, Any]] = {"scale": 1 / STEPS_OF_DEPTH}

    def add(self, image: ImageEntry, scene: Scene) -> None:
        Image.fromarray((scene.depth * STEPS_OF_DEPTH).round().astype(np.uint16)).save(self.path / f"{image.stem}.png")


class Panoptic(SceneLayer):
    """COCO's panoptic JSON, and a folder of PNGs beside it."""

    task = "panoptic-segmentation"
    format = "coco-panoptic"
    suffix = ".json"
    _STUFF = 100
    """Ids of textures begin here."""

    def __init__(self, root: Path, name: str, split: str) -> None:
        super().__init__(root, name, split)
        self._folder = root / name / split
        self._folder.mkdir(parents=True)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    @classmethod
    def entry(cls, name: str) -> dict[str, Any]:
        return super().entry(name) | {"masks": {split: f"{name}/{split}" for split in ("train", "val")}}

    def add(self, image: ImageEntry, scene: Scene) -> None:
        file_name = image.path.removeprefix("images/")
        self._images.append({"id": image.index, "file_name": file_name, "width": image.size, "height": image.size})
        ids, segments = self._segments(scene)
        colors = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
        Image.fromarray(colors).save(self._folder / f"{image.stem}.png")
        self._annotations.append({"image_id": image.index, "file_name": f"{image.stem}.png", "segments_info": segments})

    def close(self) -> None:
        things = [{"id": index, "name": name, "isthing": 1} for index, name in enumerate(DIGITS)]
        stuff = [{"id": self._STUFF + index, "name": name, "isthing": 0} for index, name in enumerate(TEXTURES)]
        content = {"images": self._images, "annotations": self._annotations, "categories": things + stuff}
        self.path.write_text(json.dumps(content))

    def _segments(self, scene: Scene) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Ids [S, S], and what each id is."""
        ids = np.zeros(scene.ground.shape, np.uint32)
        bare = ~scene.masks.any(axis=0)
        parts = [(self._STUFF + texture, (scene.ground == texture) & bare) for texture in range(len(TEXTURES))]
        parts += [(int(digit), mask) for mask, digit in zip(scene.masks, scene.digits, strict=True)]
        segments = []
        for number, (category, mask) in enumerate(((c, m) for c, m in parts if m.any()), 1):
            segment = number * 1000 + 7
            ids[mask] = segment
            segments.append(
                {"id": segment, "category_id": category, "area": int(mask.sum()), "bbox": tight_box(mask), "iscrowd": 0}
            )
        return ids, segments


class Quads(SceneLayer):
    """JSON lines."""

    task = "quadrilateral-detection"
    format = "jsonl"
    suffix = ".jsonl"
    extra: ClassVar[Mapping[str, Any]] = {"classes": list(DIGITS)}

    def __init__(self, root: Path, name: str, split: str) -> None:
        super().__init__(root, name, split)
        self._lines: list[dict[str, Any]] = []

    def add(self, image: ImageEntry, scene: Scene) -> None:
        quads = [
            {"points": corners.round(2).tolist(), "class": DIGITS[digit]}
            for corners, digit in zip(scene.corners, scene.digits, strict=True)
        ]
        self._lines.append({"image": image.path, "quads": quads})

    def close(self) -> None:
        write_json_lines(self.path, self._lines)


class Count(SceneLayer):
    """A CSV of numbers."""

    task = "regression"
    format = "csv"
    suffix = ".csv"
    extra: ClassVar[Mapping[str, Any]] = {"values": ["count"]}

    def __init__(self, root: Path, name: str, split: str) -> None:
        super().__init__(root, name, split)
        self._rows: list[tuple[str, int]] = []

    def add(self, image: ImageEntry, scene: Scene) -> None:
        self._rows.append((image.path, len(scene.digits)))

    def close(self) -> None:
        write_csv(self.path, ("image", "count"), self._rows)


SCENE_LAYERS: dict[str, type[SceneLayer]] = {
    "objects": Objects,
    "digits": Digits,
    "instances": Instances,
    "keypoints": Keypoints,
    "quads": Quads,
    "regions": Regions,
    "panoptic": Panoptic,
    "depth": Depth,
    "count": Count,
}


def write_json_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """An object a line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """A header and rows."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def tight_box(mask: np.ndarray) -> list[int]:
    """COCO box x, y, width, height around the True pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed RLE: lengths of runs of 0 and 1 in turn, column by column, starting with 0."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    ends = np.concatenate([[0], changes, [] if changes[-1] == mask.size else [mask.size]])
    lengths: list[int] = np.diff(ends).astype(int).tolist()
    return lengths
