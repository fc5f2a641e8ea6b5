"""`headrace dataset check` of a dataset in a real S3 server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from headrace_storage.places import open_store
from headrace_testing.clusters import Storage
from headrace_testing.dataset_folder import DatasetFolder, coco


def test_a_dataset_in_s3_is_checked_by_its_annotations_and_the_headers_of_its_images(tmp_path: Path, storage: Storage) -> None:
    folder = DatasetFolder(tmp_path / "dataset")
    random = np.random.default_rng(0)
    for image in ("a.png", "v.png"):
        folder.image(f"images/{image}", random.integers(0, 255, (300, 400, 3), np.uint8))
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}
    for split, image in (("train", "a.png"), ("val", "v.png")):
        folder.json(f"annotations/instances_{split}.json", coco([image], [box]))
    store = open_store(storage.uri("street"), storage.environment)
    files = [path for path in folder.root.rglob("*") if path.is_file()]
    for path in files:
        store.upload(path.relative_to(folder.root).as_posix(), path)

    arguments = ["dataset", "check", storage.uri("street/"), "--json"]
    result = subprocess.run(
        [sys.executable, "-m", "headrace_cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **storage.environment, "TMPDIR": str(tmp_path)},
    )
    assert "and the headers of 2 images" in result.stderr
    report = json.loads(result.stdout)
    assert result.returncode == 1
    assert report["sides"] == [300, 400]
    assert report["problems"] == [
        f"layer 'instances': images/{image}: made for 60 x 40 pixels; the image has 400 x 300" for image in ("a.png", "v.png")
    ]
    assert not list(tmp_path.glob("headrace-check-*")), "what was pulled is gone"
