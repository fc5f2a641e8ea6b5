"""Labels of scenes in COCO's formats: boxes, masks and keypoints, and panoptic segments."""

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from headrace_scenes.glyphs import DIGITS
from headrace_scenes.layer import ImageEntry, SceneLayer, tight_box
from headrace_scenes.scenes import Scene
from headrace_scenes.textures import TEXTURES


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
        """A digit's labels besides its box and class."""
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
    """The corners of the rectangles around digits, all of one class.

    The object is the whole rectangle, even if another digit covers part of it: its bounds are the box, and its area is the scale
    of OKS. With the area of the visible ink, OKS would demand a tenth of a pixel.
    """

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
        # COCO's keypoints are pixel indices, half a pixel less than the pixel's centre.
        corners = scene.corners[number] - 0.5
        visibility = np.where(scene.covered[number], 1, 2)
        triples = np.column_stack((corners.round(2), visibility)).ravel().tolist()
        low, high = scene.corners[number].min(axis=0), scene.corners[number].max(axis=0)
        across, down = scene.corners[number][1] - scene.corners[number][0], scene.corners[number][3] - scene.corners[number][0]
        return {
            "category_id": 1,
            "bbox": [*low.round(2).tolist(), *(high - low).round(2).tolist()],
            "area": round(float(abs(across[0] * down[1] - across[1] * down[0])), 2),
            "keypoints": triples,
            "num_keypoints": len(corners),
        }


class Panoptic(SceneLayer):
    """COCO's panoptic JSON, and a folder of PNGs beside it."""

    task = "panoptic-segmentation"
    format = "coco-panoptic"
    suffix = ".json"
    _STUFF = 100
    """The first id of textures."""

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
        """Ids [S, S], and the meaning of each id."""
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


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed RLE: lengths of runs of 0 and 1 in turn, column by column, starting with 0."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    ends = np.concatenate([[0], changes, [] if changes[-1] == mask.size else [mask.size]])
    lengths: list[int] = np.diff(ends).astype(int).tolist()
    return lengths
