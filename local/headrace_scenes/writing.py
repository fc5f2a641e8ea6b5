"""Writes a dataset of digit scenes: images, the files of each layer, dataset.json."""

import json
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from headrace_scenes.layer import ImageEntry
from headrace_scenes.other_layers import OTHER_KINDS, Part, save_image
from headrace_scenes.scene_layers import SCENE_LAYERS
from headrace_scenes.scenes import draw_scene
from headrace_scenes.textures import generator

_ENTRIES = {name: writer.entry(name) for name, writer in SCENE_LAYERS.items()} | {
    name: entry for kind in OTHER_KINDS for name, entry in kind.entries.items()
}
LAYERS = tuple(_ENTRIES)
_PARTLY_LABELLED = {"objects": "boxes", "digits": "boxes", "regions": "regions", "count": "count", "angle": "angle"}
"""Layers to which `labelled_share` applies; layers with the same value label the same images."""


def write_digit_scenes(
    folder: Path,
    train: int,
    val: int,
    *,
    size: int = 96,
    seed: int = 0,
    labelled_share: float = 1.0,
    others_share: float = 0.25,
    layers: Collection[str] = LAYERS,
) -> None:
    """Writes a dataset of `train` and `val` scenes into `folder`, which must not contain one yet.

    `labelled_share`: the share of train images that the layers label: objects with digits, regions, count, and angle. Each chooses
    its images independently, so below 1 some scenes have boxes, some regions, some both, and some neither.
    `others_share`: the number of cards, strips, sheets and textures each, as a share of the scenes; 0 leaves out their layers.
    `layers`: the layers of LAYERS to write; images without a layer are not drawn.
    """
    if unknown := sorted(set(layers) - set(LAYERS)):
        raise ValueError(f"not layers of digit scenes: {', '.join(unknown)}; the layers are {', '.join(LAYERS)}")
    folder.mkdir(parents=True, exist_ok=True)
    written = [name for name in LAYERS if name in layers and (name in SCENE_LAYERS or others_share > 0)]
    for split, count in (("train", train), ("val", val)):
        share = labelled_share if split == "train" else 1.0
        others = round(count * others_share)
        _write_scenes(Part(folder, split, count, size, seed, _choice(seed, split, count, share)), written)
        part = Part(folder, split, others, size, seed, _choice(seed, split, others, share))
        for kind in OTHER_KINDS:
            if of_kind := [name for name in written if name in kind.entries]:
                kind.write(part, of_kind)
    images = "images/" if any(name in SCENE_LAYERS for name in written) else "."
    manifest = {"version": 1, "images": images, "layers": [_ENTRIES[name] for name in written]}
    (folder / "dataset.json").write_text(json.dumps(manifest, indent=1))


def _write_scenes(part: Part, layers: Collection[str]) -> None:
    writers = {name: SCENE_LAYERS[name](part.root, name, part.split) for name in layers if name in SCENE_LAYERS}
    if not writers:
        return
    for index in range(part.images):
        scene = draw_scene(part.split, index, part.size, part.seed)
        stem = f"{part.split}-{index:05d}"
        image = ImageEntry(index, stem, f"images/{part.split}/{stem}.jpg", part.size)
        save_image(part.root / image.path, scene.image)
        for name, writer in writers.items():
            if part.listed(name, index):
                writer.add(image, scene)
    for writer in writers.values():
        writer.close()


def _choice(seed: int, split: str, images: int, share: float) -> Callable[[str, int], bool]:
    """Whether a layer labels an image."""
    listed: dict[str, np.ndarray] = {
        group: generator(seed, f"labelled {group}", split, 0).random(images) < share for group in set(_PARTLY_LABELLED.values())
    }
    return lambda layer, index: layer not in _PARTLY_LABELLED or bool(listed[_PARTLY_LABELLED[layer]][index])
