"""The datasets of the rows: digit scenes, which are generated, and photographs from shared/data, which are copied.

Photographs are copied, not linked, because `headrace train` does not follow symbolic links in a dataset.
"""

import json
import shutil
import zlib
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.rows import Data


@dataclass(frozen=True)
class DigitScenes(Data):
    """Images from local/headrace_scenes: scenes, or as many cards, strips, sheets or textures, depending on the layers."""

    kind = "digit scenes"
    layers: tuple[str, ...]
    train: int = 3000
    val: int = 400
    size: int = 64
    labelled_share: float = 1.0

    def definition(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def key(self) -> str:
        """Changes with the generator's code."""
        import headrace_local

        sources = sorted(Path(headrace_local.__path__[0], "digit_scenes").glob("*.py"))
        return f"{super().key}-{zlib.crc32(b''.join(path.read_bytes() for path in sources)):08x}"

    def missing(self) -> str | None:
        return None

    def write(self, folder: Path) -> None:
        from headrace_scenes import write_digit_scenes  # takes seconds, and rendering the page does not need it

        write_digit_scenes(
            folder,
            self.train,
            self.val,
            size=self.size,
            labelled_share=self.labelled_share,
            others_share=1.0,
            layers=self.layers,
        )


def _shared_data() -> Path | None:
    from headrace_testing.shared_data import find_shared_data  # imports pytest too

    return find_shared_data()


class _Photographs(Data):
    """A dataset in shared/data."""

    def definition(self) -> dict[str, Any]:
        return {}

    def missing(self) -> str | None:
        if _shared_data() is None:
            return "no shared/data in or beside the checkout: real photographs are not part of the repository"
        return None

    @property
    def _source(self) -> Path:
        found = _shared_data()
        assert found is not None, "rows whose data is missing are not run"
        return found / self.kind


class Bccd(_Photographs):
    """Blood cells with boxes, in Pascal VOC's layout, which Headrace recognises; with its own train and val splits."""

    kind = "bccd"

    def write(self, folder: Path) -> None:
        for part in ("Annotations", "ImageSets", "JPEGImages"):
            _copy(self._source / part, folder / part)


@dataclass(frozen=True)
class Coco128Learnt(_Photographs):
    """The first images in coco128's train split that have labels for all four tasks, in both splits: scored on what it learned."""

    kind = "coco128"
    images: int
    """At most 100: the others have boxes only."""

    def definition(self) -> dict[str, Any]:
        return {"images": self.images, "scored on": "the train images"}

    def write(self, folder: Path) -> None:
        source = self._source
        masks = sorted((source / "semantic_segmentation/masks/train2017").iterdir())[: self.images]
        stems = [path.stem for path in masks]
        table = json.loads((source / "panoptic_segmentation/annotations/panoptic_train2017.json").read_text())
        for split in ("train", "val"):
            _copy_files((source / f"images/train2017/{stem}.jpg" for stem in stems), folder / f"images/{split}")
            for task in ("object_detection", "instance_segmentation"):
                labels = (source / f"{task}/labels/train2017/{stem}.txt" for stem in stems)
                # A missing file means the image was not labelled.
                _copy_files((path for path in labels if path.exists()), folder / f"{task}/{split}")
            _copy_files(masks, folder / f"semantic_segmentation/{split}")
            colors = source / "panoptic_segmentation/annotations/panoptic_train2017"
            _copy_files((colors / f"{stem}.png" for stem in stems), folder / f"panoptic_segmentation/{split}")
            (folder / f"panoptic_segmentation/{split}.json").write_text(json.dumps(_of_images(table, stems, split)))
        for task in ("object_detection", "instance_segmentation", "semantic_segmentation"):
            _copy_files([source / task / "config.yaml"], folder / task)
        _write_manifest(folder, _coco128_layers())


@dataclass(frozen=True)
class CocoKeypointsLearnt(_Photographs):
    """The first train images in coco_keypoints with labelled keypoints of people, in both splits: scored on what it learned."""

    kind = "coco_keypoints"
    images: int

    def definition(self) -> dict[str, Any]:
        return {"images": self.images, "scored on": "the train images"}

    def write(self, folder: Path) -> None:
        table = json.loads((self._source / "annotations/person_keypoints_train2017.json").read_text())
        shown = {annotation["image_id"] for annotation in table["annotations"] if annotation["num_keypoints"]}
        images = sorted((one for one in table["images"] if one["id"] in shown), key=lambda one: one["file_name"])[: self.images]
        for split in ("train", "val"):
            _copy_files((self._source / "train2017" / one["file_name"] for one in images), folder / f"images/{split}")
            (folder / f"people_{split}.json").write_text(json.dumps(_of_listed(table, images)))
        splits = {split: f"people_{split}.json" for split in ("train", "val")}
        _write_manifest(folder, [{"name": "people", "task": "keypoint-detection", "format": "coco", "splits": splits}])


@dataclass(frozen=True)
class Icdar2015Learnt(_Photographs):
    """The first images in icdar2015_text, in both splits: scored on what it learned."""

    kind = "icdar2015_text"
    images: int

    def definition(self) -> dict[str, Any]:
        return {"images": self.images, "scored on": "the train images"}

    def write(self, folder: Path) -> None:
        for split in ("train", "val"):
            numbers = range(1, 1 + self.images)
            _copy_files((self._source / f"images/img_{number}.jpg" for number in numbers), folder / f"images/{split}")
            _copy_files((self._source / f"gt/gt_img_{number}.txt" for number in numbers), folder / f"texts/{split}")
        splits = {split: f"texts/{split}" for split in ("train", "val")}
        _write_manifest(folder, [{"name": "texts", "task": "quadrilateral-detection", "format": "icdar", "splits": splits}])


def _write_manifest(folder: Path, layers: list[dict[str, Any]]) -> None:
    (folder / "dataset.json").write_text(json.dumps({"version": 1, "images": "images/", "layers": layers}))


def _of_listed(table: dict[str, Any], images: list[dict[str, Any]]) -> dict[str, Any]:
    """COCO's JSON reduced to some of its images."""
    ids = {one["id"] for one in images}
    return table | {"images": images, "annotations": [one for one in table["annotations"] if one["image_id"] in ids]}


def _of_images(table: dict[str, Any], stems: Collection[str], split: str) -> dict[str, Any]:
    """COCO's panoptic JSON reduced to some images, which are in a split's folder."""
    images = [image for image in table["images"] if Path(image["file_name"]).stem in stems]
    moved = [image | {"file_name": f"{split}/{image['file_name']}"} for image in images]
    annotations = [annotation for annotation in table["annotations"] if Path(annotation["file_name"]).stem in stems]
    return table | {"images": moved, "annotations": annotations}


def _coco128_layers() -> list[dict[str, Any]]:
    def layer(folder: str, name: str, format_: str, suffix: str = "", **more: Any) -> dict[str, Any]:
        splits = {split: f"{folder}/{split}{suffix}" for split in ("train", "val")}
        return {"name": name, "task": folder.replace("_", "-"), "format": format_, "splits": splits, **more}

    return [
        layer("object_detection", "boxes", "yolo", classes="object_detection/config.yaml"),
        layer("instance_segmentation", "instances", "yolo", classes="instance_segmentation/config.yaml"),
        layer("semantic_segmentation", "regions", "mask-png", classes="semantic_segmentation/config.yaml", ignore=0),
        layer("panoptic_segmentation", "panoptic", "coco-panoptic", ".json"),
    ]


def _copy(source: Path, target: Path) -> None:
    """Copies a folder, and makes its files writable again."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _copy_files(sources: Iterable[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources:
        shutil.copyfile(source, folder / source.name)
