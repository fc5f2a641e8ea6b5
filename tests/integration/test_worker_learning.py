"""Checks from outside that networks learn: real workers on small images, and scores far above guessing.

Measured once on an AMD EPYC (AVX2) with torch 2.15, including start and evaluation: memorised scenes took 62 s of CPU time
(AP 0.97, mIoU 0.92, all others 1.0); new scenes 46 s (mIoU 0.50, pixel accuracy 0.68, top1 1.0, AP50 0.11); photographs 50 s
(AP50 1.0, mAP 1.0, pixel accuracy 0.85 after 60 iterations).
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace_api.report import Verdict
from headrace_scenes import write_digit_scenes
from headrace_testing.learnt_scenes import write_learnt_scenes
from headrace_testing.shared_data import shared_data  # noqa: F401 - a fixture
from headrace_testing.workers import BOXES, REGIONS, TAGS, TEXTURE, running_worker, small_job
from headrace_trainer.protocol import Evaluated, Stepped

Scores = dict[tuple[str, str], float]

STILL = {"horizontalFlip": False, "scale": {"min": 1, "max": 1}, "color": 0}
"""No augmentation: it is scored on exactly what it learns."""


def train(heads: list[dict[str, Any]], training: dict[str, Any], dataset: Path, folder: Path, bottom_level: int = 3) -> Scores:
    """Scores from the last evaluation, by head and name."""
    settings = {"schedule": {"warmupIterations": 10, "decay": "cosine"}, "emaDecay": 0.9, "batchSize": 8}
    # Without level 5: on images this small its maps are two cells a side, and it has most of the weights.
    neck = {"fpn": {"channels": 64}, "bottomLevel": bottom_level, "topLevel": 4}
    job = small_job(heads, settings | training, backbone_top_level=4, neck=neck)
    with running_worker(job, dataset, folder, threads=2) as worker:
        assert worker.ended().verdict is Verdict.DONE, worker.log
        first, last = worker.of(Stepped)[0], worker.of(Stepped)[-1]
        assert last.losses["total"] < first.losses["total"]
        return {(score.head, score.name): score.value for score in worker.of(Evaluated)[-1].scores}


@pytest.fixture(scope="module")
def memorised(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    """Scores of four heads on one backbone on eight scenes and eight textures that they saw again and again."""
    folder = tmp_path_factory.mktemp("memorised")
    write_learnt_scenes(folder / "scenes", scenes=8, size=64)
    training = {
        "maxIterations": 150,
        "imageSize": {"height": 64, "width": 64},
        "optimizer": {"adamw": {"learningRate": 0.003}},
        "augmentation": STILL,
    }
    return train([BOXES, {**REGIONS, "weight": 3.0}, TAGS, TEXTURE], training, folder / "scenes", folder, bottom_level=2)


@pytest.mark.parametrize(
    ("head", "metric", "least"),
    [
        ("boxes", "AP", 0.95),
        ("regions", "mIoU", 0.9),
        ("tags", "mAP", 0.95),
        ("tags", "macroF1", 0.95),
        ("texture", "top1", 0.95),
    ],
)
def test_every_head_memorises_a_handful_of_images(memorised: Scores, head: str, metric: str, least: float) -> None:
    """Regions score higher alone: tests/unit/trainer/heads/test_semantic_segmentation.py."""
    assert memorised[head, metric] >= least


@pytest.fixture(scope="module")
def generalised(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    """Scores on new scenes, when only half of the training scenes have each kind of label."""
    folder = tmp_path_factory.mktemp("generalised")
    write_digit_scenes(folder / "scenes", train=240, val=32, size=64, labelled_share=0.5, others_share=0.5)
    training = {
        "maxIterations": 100,
        "batchSize": 16,
        "imageSize": {"height": 64, "width": 64},
        "optimizer": {"adamw": {"learningRate": 0.002}},
        "augmentation": {"horizontalFlip": False},
    }
    return train([BOXES, REGIONS, TEXTURE], training, folder / "scenes", folder)


@pytest.mark.parametrize(
    ("head", "metric", "least", "guessing"),
    [
        pytest.param("regions", "mIoU", 0.4, 0.1, id="regions: always the most common texture"),
        pytest.param("regions", "pixelAccuracy", 0.55, 0.3, id="region pixels: always the most common texture"),
        pytest.param("texture", "top1", 0.75, 0.4, id="texture: always the most common of four"),
        pytest.param("boxes", "AP50", 0.06, 0.01, id="boxes: placed at random"),
    ],
)
def test_heads_generalise_from_partly_labelled_scenes(
    generalised: Scores, head: str, metric: str, least: float, guessing: float
) -> None:
    assert least > guessing
    assert generalised[head, metric] >= least


PHOTOGRAPHS = ("000000000034", "000000000036", "000000000042", "000000000072", "000000000081", "000000000092")
"""From coco128/train2017: one to three large objects each."""


def write_photographs(folder: Path, coco128: Path) -> None:
    """A dataset of those photographs, in both splits, with their boxes and class maps."""
    for split in ("train", "val"):
        for kind in ("images", "labels", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for name in PHOTOGRAPHS:
            shutil.copy(coco128 / f"images/train2017/{name}.jpg", folder / "images" / split)
            shutil.copy(coco128 / f"object_detection/labels/train2017/{name}.txt", folder / "labels" / split)
            shutil.copy(coco128 / f"semantic_segmentation/masks/train2017/{name}.png", folder / "masks" / split)
    boxes = yaml.safe_load((coco128 / "object_detection/config.yaml").read_text())["names"]
    stuff = yaml.safe_load((coco128 / "semantic_segmentation/config.yaml").read_text())["classes"]
    splits = {kind: {split: f"{kind}/{split}" for split in ("train", "val")} for kind in ("labels", "masks")}
    layers = [
        {"name": "objects", "task": "object-detection", "format": "yolo", "splits": splits["labels"], "classes": boxes},
        {
            "name": "regions",
            "task": "semantic-segmentation",
            "format": "mask-png",
            "splits": splits["masks"],
            "classes": {number: name for number, name in stuff.items() if number != 0},
            "ignore": 0,
        },
    ]
    (folder / "dataset.json").write_text(json.dumps({"version": 1, "layers": layers}))


def test_real_photographs_are_memorised_too(shared_data: Path, tmp_path: Path) -> None:  # noqa: F811
    write_photographs(tmp_path / "photographs", shared_data / "coco128")
    training = {
        "maxIterations": 75,
        "batchSize": 6,
        "imageSize": {"height": 96, "width": 96},
        "optimizer": {"adamw": {"learningRate": 0.002}},
        "augmentation": STILL,
    }
    scores = train([BOXES, REGIONS, TAGS], training, tmp_path / "photographs", tmp_path)
    assert scores["boxes", "AP50"] >= 0.9
    assert scores["tags", "mAP"] >= 0.95
    assert scores["regions", "pixelAccuracy"] >= 0.8
