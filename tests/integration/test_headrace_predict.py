"""`headrace predict` and `headrace export` as programs, on the model that `headrace train` would have left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from headrace_api.tasks import Task
from headrace_testing.trained_models import write_model

TASKS = (Task.OBJECT_DETECTION, Task.SEMANTIC_SEGMENTATION, Task.REGRESSION)


def headrace(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "headrace_cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "tmp")},
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder with a model, three photographs, and a file that is not one."""
    (tmp_path / "tmp").mkdir()
    write_model(tmp_path / "run", TASKS, size=(48, 64))
    (tmp_path / "photos").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (60 + number, 90, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}.jpg")
    (tmp_path / "photos/3.jpg").write_bytes(b"no image")
    return tmp_path


def test_images_go_in_and_files_come_out(folder: Path) -> None:
    done = headrace(folder, "predict", "run", "photos", "--out", "seen", "--min-score", "0")
    assert done.returncode == 1, done.stderr
    assert "skipped" in done.stderr
    facts = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    assert (facts["images"], facts["unreadable"], facts["index"]) == ("3", "1", "seen/predictions.json")
    assert len(json.loads((folder / "seen/predictions.json").read_text())["images"]) == 3
    coco = COCO(str(folder / "seen/object-detection/images.json"))
    assert len(coco.loadRes(str(folder / "seen/object-detection/results.json")).anns) > 0
    assert sorted(path.name for path in (folder / "seen/pictures/regression").iterdir()) == ["0.jpg", "1.jpg", "2.jpg"]
    assert list((folder / "tmp").iterdir()) == []


def test_a_graph_is_written_and_compared(folder: Path) -> None:
    graph = headrace(folder, "export", "run/model", "--format", "torch-export", "--head", "regression")
    assert graph.returncode == 0, graph.stderr
    facts = dict(line.split("\t", 1) for line in graph.stdout.splitlines())
    assert (facts["file"], facts["head"]) == ("model.pt2", "regression")
    assert float(facts["largest difference"]) < 1e-4
    assert (folder / "model.pt2").is_file()
