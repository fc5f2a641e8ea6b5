"""Writes cards, strips, sheets and textures: images and their labels."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headrace_scenes.cards import Card, draw_card
from headrace_scenes.glyphs import DIGITS
from headrace_scenes.layer import write_csv, write_json_lines
from headrace_scenes.sheets import draw_sheet
from headrace_scenes.strips import draw_strip
from headrace_scenes.textures import TEXTURES, draw_texture

_SPLITS = ("train", "val")


@dataclass(frozen=True)
class Part:
    """The split to write."""

    root: Path
    split: str
    images: int
    size: int
    seed: int
    listed: Callable[[str, int], bool]
    """Whether a layer labels an image."""

    def path(self, kind: str, index: int, suffix: str = ".jpg", folder: str = "") -> str:
        """An image's path, relative to the dataset's root."""
        return f"{kind}/{self.split}/{folder}{kind}-{self.split}-{index:05d}{suffix}"


def save_image(path: Path, pixels: np.ndarray) -> None:
    """Saves an image as PNG or high-quality JPEG, depending on the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


def write_textures(part: Part, layers: Iterable[str]) -> None:
    """Write an image folder."""
    for name in layers:
        for index in range(part.images):
            image, texture = draw_texture(part.split, index, part.size, part.seed)
            save_image(part.root / part.path(name, index, folder=f"{TEXTURES[texture]}/"), image)


def write_cards(part: Part, layers: Iterable[str]) -> None:
    """Images, and a CSV for each layer."""
    rows: dict[str, list[tuple[str, Any]]] = {name: [] for name in layers}
    for index in range(part.images):
        card = draw_card(part.split, index, part.images, part.size, part.seed)
        path = part.path("cards", index)
        save_image(part.root / path, card.image)
        for name, of_layer in rows.items():
            if part.listed(name, index):
                of_layer.append((path, _OF_CARD[name](card)))
    for name, of_layer in rows.items():
        write_csv(part.root / f"{name}_{part.split}.csv", ("image", _COLUMN[name]), of_layer)


_COLUMN = {"digit": "label", "identity": "identity", "angle": "angle"}
_OF_CARD: dict[str, Callable[[Card], Any]] = {
    "digit": lambda card: DIGITS[card.digit],
    "identity": lambda card: f"scan {card.scan}",
    "angle": lambda card: round(card.degrees, 2),
}


def write_strips(part: Part, layers: Iterable[str]) -> None:
    """Write images, and JSON lines with their text."""
    for name in layers:
        lines = []
        for index in range(part.images):
            image, text = draw_strip(part.split, index, part.size, part.seed)
            path = part.path("strips", index)
            save_image(part.root / path, image)
            lines.append({"image": path, "text": text})
        write_json_lines(part.root / f"{name}_{part.split}.jsonl", lines)


def write_sheets(part: Part, layers: Iterable[str]) -> None:
    """Images, JSON lines that say which images are odd, and masks that show where."""
    for name in layers:
        lines: list[dict[str, Any]] = []
        for index in range(part.images):
            sheet = draw_sheet(part.split, index, part.size, part.seed)
            path = part.path("sheets", index)
            save_image(part.root / path, sheet.image)
            lines.append({"image": path, "anomalous": bool(sheet.odd.any())})
            if sheet.odd.any():
                mask = part.path(name, index, ".png")
                save_image(part.root / mask, sheet.odd.astype(np.uint8) * 255)
                lines[-1]["mask"] = mask
        write_json_lines(part.root / f"{name}_{part.split}.jsonl", lines)


@dataclass(frozen=True)
class Kind:
    """A kind of image, with its layers."""

    write: Callable[[Part, Iterable[str]], None]
    entries: dict[str, dict[str, Any]]


def _entry(name: str, task: str, format_: str, place: str, **extra: Any) -> dict[str, Any]:
    splits = {split: place.format(name=name, split=split) for split in _SPLITS}
    return {"name": name, "task": task, "format": format_, "splits": splits, **extra}


_table = partial(_entry, format_="csv", place="{name}_{split}.csv")
_lines = partial(_entry, format_="jsonl", place="{name}_{split}.jsonl")

OTHER_KINDS = (
    Kind(write_textures, {"texture": _entry("texture", "multiclass-classification", "image-folder", "{name}/{split}")}),
    Kind(
        write_cards,
        {
            "digit": _table("digit", "multiclass-classification", classes=list(DIGITS)),
            "identity": _table("identity", "metric-learning"),
            "angle": _table("angle", "regression", values=["angle"]),
        },
    ),
    Kind(write_strips, {"text": _lines("text", "text-recognition", alphabet="".join(DIGITS))}),
    Kind(write_sheets, {"oddity": _lines("oddity", "anomaly-detection")}),
)
