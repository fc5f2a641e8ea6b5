"""`python -m headrace_trainer.check`, on local folders and on S3."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headrace_api.names import ExitCode
from headrace_testing.dataset_folder import DatasetFolder, coco
from headrace_testing.fake_s3 import FakeS3, fake_s3
from headrace_trainer.check.__main__ import main

SIZE = (300, 400)


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as fake:
        yield fake


def noise(seed: int = 0) -> np.ndarray:
    """An image that no format compresses well."""
    return np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> DatasetFolder:
    """Two photographs of more than 64 KiB, with a box each."""
    folder = DatasetFolder(tmp_path / "dataset").image("images/a.png", noise()).image("images/v.jpg", noise(1), quality=95)
    for split, image in (("train", "a.png"), ("val", "v.jpg")):
        content = coco([image], [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}])
        content["images"][0] |= {"height": SIZE[0], "width": SIZE[1]}
        folder.json(f"annotations/instances_{split}.json", content)
    return folder


def stored(folder: DatasetFolder) -> dict[str, bytes]:
    files = (path for path in folder.root.rglob("*") if path.is_file())
    return {f"street/{path.relative_to(folder.root).as_posix()}": path.read_bytes() for path in files}


def test_a_local_folder_without_problems(folder: DatasetFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored(folder)
    assert main([str(folder.root)]) is ExitCode.OK
    text = capsys.readouterr().out
    assert '    {"name": "instances", "task": "object-detection", "format": "coco", ' in text
    assert "2 images, sides of 300 to 400 pixels; 0 in no layer; heads that need no labels: autoencoding, view invariance\n" in text
    assert "train  1 image; 1 object\n" in text
    assert "2 classes (train/val): cat 1/1, dog 0/0" in text
    assert "heads: object detection, quadrilateral detection, multilabel classification\n" in text
    assert text.endswith("no problems found in annotations and image headers\n")
    assert stored(folder) == before, "the check must only read"


def test_json_has_all_problems_and_the_exit_status_says_that_there_are_any(
    folder: DatasetFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.text("images/a.png", "no image")
    content = coco([*(f"gone{number}.png" for number in range(60)), "a.png"])
    folder.json("annotations/instances_train.json", content)
    assert main([str(folder.root), "--json"]) is ExitCode.RETRY
    report = json.loads(capsys.readouterr().out)
    assert len(report["problems"]) == 61
    assert report["layers"][0]["splits"]["train"] == {"images": 1, "negatives": 1, "objects": 0}
    assert report["layers"][0]["serves"][0] == "object-detection"
    assert main([str(folder.root)]) is ExitCode.RETRY
    text = capsys.readouterr().out
    assert "and 41 more problems (--json lists them all)" in text
    assert "61 problems found" in text


def test_only_image_headers_of_a_stored_dataset_are_read(
    folder: DatasetFolder, s3: FakeS3, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.objects = stored(folder)
    assert main(["s3://none/street/", "--json"], s3.environment()) is ExitCode.OK
    said = capsys.readouterr()
    assert "pulling 2 files" in said.err
    assert "and the headers of 2 images" in said.err
    report = json.loads(said.out)
    assert (report["uri"], report["images"], report["sides"], report["decoded"]) == ("s3://none/street/", 2, [300, 400], False)
    assert s3.requests.count("GET street/images/a.png") == 1


def test_a_stored_image_whose_size_is_not_at_the_beginning_is_read_completely(
    folder: DatasetFolder, s3: FakeS3, capsys: pytest.CaptureFixture[str]
) -> None:
    tiff = io.BytesIO()
    Image.fromarray(noise()).save(tiff, "TIFF")
    s3.objects = {key: value for key, value in stored(folder).items() if not key.endswith("a.png")}
    s3.objects |= {"street/images/a.tif": at_the_end(tiff.getvalue())}
    assert main(["s3://none/street/", "--json"], s3.environment()) is ExitCode.OK
    assert json.loads(capsys.readouterr().out)["sides"] == [300, 400]
    assert s3.requests.count("GET street/images/a.tif") == 2


def at_the_end(tiff: bytes) -> bytes:
    """The same TIFF with its directory after the pixels, as many programs write it."""
    start = int.from_bytes(tiff[4:8], "little")
    entries = int.from_bytes(tiff[start : start + 2], "little")
    directory = tiff[start : start + 2 + 12 * entries + 4]
    return tiff[:4] + len(tiff).to_bytes(4, "little") + tiff[8:] + directory


def test_with_images_all_of_a_stored_dataset_is_read(folder: DatasetFolder, s3: FakeS3, capsys: pytest.CaptureFixture[str]) -> None:
    s3.objects = stored(folder)
    s3.objects["street/images/a.png"] = s3.objects["street/images/a.png"][:100_000]
    assert main(["s3://none/street/"], s3.environment()) is ExitCode.OK
    assert main(["s3://none/street/", "--images"], s3.environment()) is ExitCode.RETRY
    assert "problem: images/a.png: cannot be read as an image: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("uri", "said"),
    [("s3://none/nothing/", "s3://none/nothing/ is empty: check the URI"), ("http://x/", "is neither s3://bucket/prefix/ nor")],
)
def test_an_unreadable_dataset_is_reported(s3: FakeS3, capsys: pytest.CaptureFixture[str], uri: str, said: str) -> None:
    assert main([uri], s3.environment()) is ExitCode.FATAL
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("name", "said"), [("gone", "No such file"), ("empty", "is empty"), ("file.txt", "Not a directory")])
def test_a_missing_or_empty_folder_cannot_be_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").touch()
    assert main([str(tmp_path / name)]) is ExitCode.FATAL
    told = capsys.readouterr()
    assert f"error: {tmp_path / name}" in told.err
    assert said in told.err
    assert told.out == ""


def test_keys_that_lead_out_of_the_dataset_are_refused(
    folder: DatasetFolder, s3: FakeS3, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.objects = stored(folder) | {"street/../../x.png": b"x" * (1 << 17)}
    assert main(["s3://none/street/"], s3.environment()) is ExitCode.FATAL
    assert "x.png" in capsys.readouterr().err


def test_it_needs_no_torch() -> None:
    program = "import sys, headrace_trainer.check.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
