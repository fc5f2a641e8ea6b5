"""Digit scenes scored on the very images they are learned from: a network that cannot memorise them fails."""

import json
import shutil
from pathlib import Path

from headrace_scenes import write_digit_scenes


def write_learnt_scenes(folder: Path, scenes: int, size: int, seed: int = 0) -> None:
    """A dataset of digit scenes whose val split has the same scenes as its train split, as separate files."""
    layers = ("objects", "regions", "texture")
    write_digit_scenes(folder, train=scenes, val=1, size=size, seed=seed, others_share=1.0, layers=layers)
    for kind in ("images", "regions", "texture"):
        shutil.rmtree(folder / kind / "val")
        shutil.copytree(folder / kind / "train", folder / kind / "val")
    table = json.loads((folder / "objects_train.json").read_text())
    for image in table["images"]:
        image["file_name"] = image["file_name"].replace("train/", "val/")
    (folder / "objects_val.json").write_text(json.dumps(table))
