"""Digit scenes: real scans of handwritten digits on photographed textures, with exact labels for every task.

A scene is a square image whose ground is one of scikit-image's photographs, part of it replaced by a second one along a straight
border; on it lie one to five of scikit-learn's digits (UCI ML hand-written digits, 8 x 8 scans), scaled, turned a little, coloured,
pasted one over the other. Digits of the val split are scans that no train scene shows, and every pixel is a function of (seed,
split, index), so that two machines draw the same scenes.

Layers of the dataset.json that is written:

    objects     object-detection           coco            boxes of the visible part of each digit, classes "0" to "9"
    digits      object-detection           yolo            the same boxes, one class: "digit"
    instances   instance-segmentation      coco            the same digits as RLE masks
    regions     semantic-segmentation      mask-png        the textures and "digit"; the seam between two textures is ignored
    panoptic    panoptic-segmentation      coco-panoptic   digits as things, textures as stuff
    texture     multiclass-classification  image-folder    which texture: images of their own, with no digits and no other labels

Run as a program it writes a dataset: `python -m headrace_local.digit_scenes FOLDER --train 600 --val 100`.
"""

import argparse
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image
from sklearn.datasets import load_digits

DIGITS = tuple(str(digit) for digit in range(10))
TEXTURES = ("brick", "grass", "gravel", "tissue")
REGIONS = (*TEXTURES, "digit")
IGNORE = 255
SEAM_PIXELS = 1.5
"""Half the width of the ignored strip between two textures."""
LEAST_VISIBLE_PIXELS = 24
"""A digit of which less can be seen, because others lie on it, is left out of the scene."""


@dataclass(frozen=True)
class Scene:
    """One image and its exact labels."""

    image: np.ndarray
    """uint8 [S, S, 3]"""
    masks: np.ndarray
    """bool [n, S, S]: the visible pixels of each digit; disjoint."""
    digits: np.ndarray
    """int [n]: the class of each digit."""
    regions: np.ndarray
    """uint8 [S, S]: index into REGIONS, or IGNORE."""
    ground: np.ndarray
    """uint8 [S, S]: index into TEXTURES under everything."""


@cache
def _textures() -> tuple[np.ndarray, ...]:
    gray: tuple[Callable[[], np.ndarray], ...] = (skimage.data.brick, skimage.data.grass, skimage.data.gravel)
    return (*(np.repeat(photo()[..., None], 3, axis=2) for photo in gray), skimage.data.immunohistochemistry())


@cache
def _scans(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Scans float [n, 8, 8] in 0 to 1 and their classes [n]; every fifth scan belongs to val."""
    bunch = load_digits()
    held_out = np.arange(len(bunch.target)) % 5 == 0
    chosen = held_out if split == "val" else ~held_out
    return bunch.images[chosen] / 16.0, bunch.target[chosen]


def _generator(seed: int, kind: str, split: str, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(f"{kind}/{split}".encode()), index])


def _patch(rng: np.random.Generator, texture: int, size: int) -> np.ndarray:
    """A crop of a photograph, uint8 [size, size, 3], shown at half its scale so that its grain is visible, dimmed at random."""
    photo = _textures()[texture]
    top, left = (int(rng.integers(0, extent - 2 * size + 1)) for extent in photo.shape[:2])
    crop = Image.fromarray(photo[top : top + 2 * size, left : left + 2 * size]).resize((size, size), Image.Resampling.BOX)
    return (np.asarray(crop, np.float32) * rng.uniform(0.5, 0.9)).astype(np.uint8)


def _ground(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(image, texture index, whether on the seam) of a ground of two textures with a straight border."""
    first, second = rng.choice(len(TEXTURES), 2, replace=False)
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.25, 0.25) * size
    y, x = np.mgrid[:size, :size] - size / 2
    distance = x * np.cos(angle) + y * np.sin(angle) - offset
    texture = np.where(distance < 0, first, second).astype(np.uint8)
    image = np.where((distance < 0)[..., None], _patch(rng, first, size), _patch(rng, second, size))
    return image, texture, np.abs(distance) < SEAM_PIXELS


def _stamp(rng: np.random.Generator, scan: np.ndarray, size: int) -> np.ndarray:
    """Opacity float [h, w] in 0 to 1 of a scan, enlarged and turned a little."""
    side = int(size * rng.uniform(0.28, 0.45))
    stamp = Image.fromarray((scan * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(stamp.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR, expand=True), np.float32) / 255


def _free_place(rng: np.random.Generator, stamp: np.ndarray, taken: np.ndarray) -> tuple[slice, slice]:
    """Where to paste a stamp: the least covered of a few random places, so that digits overlap sometimes and pile up seldom."""
    height, width = stamp.shape
    places = []
    for _ in range(4):
        top, left = (int(rng.integers(0, extent - side + 1)) for extent, side in zip(taken.shape, (height, width), strict=True))
        places.append(np.s_[top : top + height, left : left + width])
    return min(places, key=lambda place: taken[place].sum())


def draw_scene(split: str, index: int, size: int = 96, seed: int = 0) -> Scene:
    """The scene number `index` of a split, `size` pixels a side."""
    rng = _generator(seed, "scene", split, index)
    image, ground, seam = _ground(rng, size)
    canvas = image.astype(np.float32)
    owner = np.full((size, size), -1)
    scans, classes = _scans(split)
    digits = []
    for number in range(int(rng.integers(1, 6))):
        chosen = int(rng.integers(len(scans)))
        stamp = _stamp(rng, scans[chosen], size)
        place = _free_place(rng, stamp, owner >= 0)
        color = rng.uniform(170, 255, 3)
        canvas[place] += stamp[..., None] * (color - canvas[place])
        owner[place][stamp > 0.5] = number
        digits.append(int(classes[chosen]))
    masks = np.stack([owner == number for number in range(len(digits))])
    seen = masks.sum(axis=(1, 2)) >= LEAST_VISIBLE_PIXELS
    regions = np.where(seam, IGNORE, ground).astype(np.uint8)
    regions[masks.any(axis=0)] = REGIONS.index("digit")
    return Scene(canvas.clip(0, 255).astype(np.uint8), masks[seen], np.array(digits)[seen], regions, ground)


def draw_texture(split: str, index: int, size: int = 96, seed: int = 0) -> tuple[np.ndarray, int]:
    """An image uint8 [S, S, 3] of one texture, and its index into TEXTURES. Splits show other crops of the same photographs."""
    rng = _generator(seed, "texture", split, index)
    texture = int(rng.integers(len(TEXTURES)))
    return _patch(rng, texture, size), texture


def write_digit_scenes(
    folder: Path, train: int, val: int, *, size: int = 96, seed: int = 0, labelled_share: float = 1.0, textures_share: float = 0.25
) -> None:
    """Writes a dataset of `train` and `val` scenes into `folder`, which must not hold one yet.

    `labelled_share`: the share of train scenes that the layers objects and digits list, and that regions lists; chosen
    independently, so that below 1 some scenes carry boxes, some regions, some both, some none. `textures_share`: images of the
    layer texture, as a share of the scenes; 0 leaves the layer out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("val", val)):
        share = labelled_share if split == "train" else 1.0
        _write_scenes(folder, split, count, size=size, seed=seed, labelled_share=share)
        for index in range(round(count * textures_share)):
            image, texture = draw_texture(split, index, size, seed)
            _save_image(folder / "texture" / split / TEXTURES[texture] / f"texture-{split}-{index:05d}.jpg", image)
    (folder / "dataset.json").write_text(json.dumps(_manifest(with_textures=textures_share > 0), indent=1))


def _manifest(with_textures: bool) -> dict[str, Any]:
    splits = ("train", "val")
    layers: list[dict[str, Any]] = [
        {"name": "objects", "task": "object-detection", "format": "coco", "splits": {s: f"objects_{s}.json" for s in splits}},
        {
            "name": "instances",
            "task": "instance-segmentation",
            "format": "coco",
            "splits": {s: f"instances_{s}.json" for s in splits},
        },
        {
            "name": "digits",
            "task": "object-detection",
            "format": "yolo",
            "splits": {s: f"digits/{s}" for s in splits},
            "classes": ["digit"],
        },
        {
            "name": "regions",
            "task": "semantic-segmentation",
            "format": "mask-png",
            "splits": {s: f"regions/{s}" for s in splits},
            "classes": list(REGIONS),
            "ignore": IGNORE,
        },
        {
            "name": "panoptic",
            "task": "panoptic-segmentation",
            "format": "coco-panoptic",
            "splits": {s: f"panoptic_{s}.json" for s in splits},
            "masks": {s: f"panoptic/{s}" for s in splits},
        },
    ]
    if with_textures:
        layers.append(
            {
                "name": "texture",
                "task": "multiclass-classification",
                "format": "image-folder",
                "splits": {s: f"texture/{s}" for s in splits},
            }
        )
    return {"version": 1, "images": "images/", "layers": layers}


def _write_scenes(folder: Path, split: str, count: int, *, size: int, seed: int, labelled_share: float) -> None:
    things = [{"id": index, "name": name, "isthing": 1} for index, name in enumerate(DIGITS)]
    stuff = [{"id": 100 + index, "name": name, "isthing": 0} for index, name in enumerate(TEXTURES)]
    objects: dict[str, Any] = {"images": [], "annotations": [], "categories": things}
    instances: dict[str, Any] = {"images": [], "annotations": [], "categories": things}
    panoptic: dict[str, Any] = {"images": [], "annotations": [], "categories": things + stuff}
    chosen = _generator(seed, "labelled", split, 0).random((count, 2)) < labelled_share
    for index in range(count):
        scene = draw_scene(split, index, size, seed)
        name = f"{split}-{index:05d}"
        entry = {"id": index, "file_name": f"{split}/{name}.jpg", "width": size, "height": size}
        _save_image(folder / "images" / split / f"{name}.jpg", scene.image)
        annotations = _coco_annotations(scene, index)
        for table, wanted in ((objects, chosen[index, 0]), (instances, True)):
            if wanted:
                table["images"].append(entry)
                first = len(table["annotations"])
                fields = ("image_id", "category_id", "bbox", "area", "iscrowd") + (("segmentation",) if table is instances else ())
                table["annotations"] += [
                    {"id": first + number, **{field: annotation[field] for field in fields}}
                    for number, annotation in enumerate(annotations, 1)
                ]
        if chosen[index, 0]:
            _save_yolo(folder / "digits" / split / f"{name}.txt", annotations, size)
        if chosen[index, 1]:
            _save_image(folder / "regions" / split / f"{name}.png", scene.regions)
        pixels, segments = _panoptic_segments(scene)
        _save_image(folder / "panoptic" / split / f"{name}.png", pixels)
        panoptic["images"].append(entry)
        panoptic["annotations"].append({"image_id": index, "file_name": f"{name}.png", "segments_info": segments})
    for kind, table in (("objects", objects), ("instances", instances), ("panoptic", panoptic)):
        (folder / f"{kind}_{split}.json").write_text(json.dumps(table))


def _save_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


def _save_yolo(path: Path, annotations: list[dict[str, Any]], size: int) -> None:
    """Lines `class cx cy w h` in shares of the image, all of class 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    boxes = (np.array(annotation["bbox"]) / size for annotation in annotations)
    lines = (f"0 {x + w / 2:.6f} {y + h / 2:.6f} {w:.6f} {h:.6f}\n" for x, y, w, h in boxes)
    path.write_text("".join(lines))


def _tight_box(mask: np.ndarray) -> list[int]:
    """COCO box x, y, width, height around the True pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]


def _run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed RLE: lengths of runs of 0 and 1 in turn, column by column, starting with 0."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    ends = np.concatenate([[0], changes, [] if changes[-1] == mask.size else [mask.size]])
    lengths: list[int] = np.diff(ends).astype(int).tolist()
    return lengths


def _coco_annotations(scene: Scene, image_id: int) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image_id,
            "category_id": int(digit),
            "bbox": _tight_box(mask),
            "area": int(mask.sum()),
            "iscrowd": 0,
            "segmentation": {"size": list(mask.shape), "counts": _run_lengths(mask)},
        }
        for mask, digit in zip(scene.masks, scene.digits, strict=True)
    ]


def _panoptic_segments(scene: Scene) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """COCO panoptic: ids as R + 256 G + 65536 B [S, S, 3], and what each id is."""
    ids = np.zeros(scene.ground.shape, np.uint32)
    parts = [(100 + texture, (scene.ground == texture) & ~scene.masks.any(axis=0)) for texture in range(len(TEXTURES))]
    parts += [(int(digit), mask) for mask, digit in zip(scene.masks, scene.digits, strict=True)]
    segments = []
    for number, (category, mask) in enumerate(((c, m) for c, m in parts if m.any()), 1):
        ids[mask] = number * 1000 + 7
        segments.append(
            {"id": number * 1000 + 7, "category_id": category, "area": int(mask.sum()), "bbox": _tight_box(mask), "iscrowd": 0}
        )
    return np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8), segments


def main() -> None:
    """Entry of `python -m headrace_local.digit_scenes`."""
    parser = argparse.ArgumentParser(prog="python -m headrace_local.digit_scenes", description="Write a dataset of digit scenes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=600, help="scenes to learn from (default: 600)")
    parser.add_argument("--val", type=int, default=100, help="held-out scenes (default: 100)")
    parser.add_argument("--size", type=int, default=96, help="pixels a side (default: 96)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labelled-share", type=float, default=1.0, help="share of train scenes that a layer lists (default: 1)")
    options = parser.parse_args()
    write_digit_scenes(
        options.folder,
        options.train,
        options.val,
        size=options.size,
        seed=options.seed,
        labelled_share=options.labelled_share,
    )
    print(f"{options.train} + {options.val} scenes in {options.folder}")


if __name__ == "__main__":
    main()
