"""Labels of scenes in all other formats, and the list of scenes' layers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from headrace_scenes.coco_layers import Instances, Keypoints, Objects, Panoptic
from headrace_scenes.glyphs import DIGITS
from headrace_scenes.layer import ImageEntry, SceneLayer, tight_box, write_csv, write_json_lines
from headrace_scenes.scenes import IGNORE, REGIONS, Scene

STEPS_OF_DEPTH = 1000
"""Depth maps are 16-bit PNGs in thousandths."""


class Digits(SceneLayer):
    """YOLO's lines `class cx cy w h` as shares of the image's size, all of class 0."""

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
