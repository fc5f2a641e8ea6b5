"""`headrace predict` and `headrace export` as programs, on the model that `headrace train` would have left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
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


def test_images_go_in_and_files_come_out(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    write_model(tmp_path / "run", TASKS, size=(48, 64))
    (tmp_path / "photos").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (60 + number, 90, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}.jpg")

    # All is well.
    done = headrace(tmp_path, "predict", "run/model", "photos", "--out", "seen", "--min-score", "0")
    assert done.returncode == 0, done.stderr
    facts = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    assert (facts["images"], facts["unreadable"], facts["index"]) == ("3", "0", "seen/predictions.json")
    coco = COCO(str(tmp_path / "seen/object-detection/images.json"))
    assert len(coco.loadRes(str(tmp_path / "seen/object-detection/results.json")).anns) > 0
    assert sorted(path.name for path in (tmp_path / "seen/pictures/regression").iterdir()) == ["0.jpg", "1.jpg", "2.jpg"]
    assert list((tmp_path / "tmp").iterdir()) == []

    # The same again would mix two runs; a broken image is told; a model that is none is refused.
    again = headrace(tmp_path, "predict", "run/model", "photos", "--out", "seen")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "error: seen is not empty: name another folder with --out, or remove it\n"
    (tmp_path / "photos/3.jpg").write_bytes(b"no image")
    partly = headrace(tmp_path, "predict", "run", "photos", "--out", "partly", "--no-pictures")
    assert partly.returncode == 1
    assert "skipped" in partly.stderr
    assert len(json.loads((tmp_path / "partly/predictions.json").read_text())["images"]) == 3
    assert not (tmp_path / "partly/pictures").exists()
    assert headrace(tmp_path, "predict", "photos", "photos").returncode == 2

    # The graph.
    graph = headrace(tmp_path, "export", "run/model", "--format", "torch-export", "--head", "regression")
    assert graph.returncode == 0, graph.stderr
    assert "head\tregression\n" in graph.stdout
    assert (tmp_path / "model.pt2").is_file()
