"""Each task's files: in its usual format, in pixels of the original image."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from pycocotools import mask as run_length
from pycocotools.coco import COCO
from torch import Tensor

from headrace_api.tasks import Task
from headrace_testing.head_cases import ALPHABET, KEYPOINTS, make_features, make_head
from headrace_trainer.data.targets.geometry import letterbox
from headrace_trainer.heads.base import REGISTRY, Head
from headrace_trainer.ops.drawing import color_of
from headrace_trainer.results.base import Image
from headrace_trainer.results.placement import Placement

SIZE, CANVAS = (50, 80), (64, 64)
"""Sizes of the image and the network's input: 40 x 64 pixels of the input show the image, from row 12."""
SCALE, TOP = 80 / 64, 12


def write(folder: Path, head: Head, *predictions: Mapping[str, Tensor]) -> None:
    """The head's results for images of SIZE called image-1, folder/image-2, …"""
    folder.mkdir(parents=True, exist_ok=True)
    results = head.results(folder, 0.1)
    for number, found in enumerate(predictions, start=1):
        output = f"{'folder/' if number > 1 else ''}image-{number}"
        results.add(Image(number, f"{output}.jpg", output, SIZE), found, Placement(letterbox(SIZE, CANVAS), SIZE))
    results.close()


def objects(**more: Tensor) -> dict[str, Tensor]:
    """Three detections: a good one, one that scores too little, and padding."""
    return {
        "valid": torch.tensor([True, True, False]),
        "scores": torch.tensor([0.75, 0.05, 0.9]),
        "classes": torch.tensor([2, 0, 1]),
        **more,
    }


BOXES = torch.tensor([[8.0, TOP + 4, 40, TOP + 20], [0, 0, 1, 1], [0, 0, 1, 1]])
IN_IMAGE = [8 * SCALE, 4 * SCALE, 32 * SCALE, 16 * SCALE]


def only_result(folder: Path) -> dict[str, Any]:
    coco = COCO(str(folder / "images.json")).loadRes(str(folder / "results.json"))
    (result,) = coco.anns.values()
    assert coco.cats[result["category_id"]]["name"] == "class 2"
    assert coco.imgs[result["image_id"]] == {"id": 1, "file_name": "image-1.jpg", "height": 50, "width": 80}
    assert result["score"] == 0.75
    return dict(result)


def nothing(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {**found, "valid": torch.zeros_like(found["valid"])}


def test_boxes_are_in_cocos_format(tmp_path: Path) -> None:
    found = objects(boxes=BOXES)
    write(tmp_path, make_head(Task.OBJECT_DETECTION), found, nothing(found))
    assert only_result(tmp_path)["bbox"] == IN_IMAGE


def test_masks_are_in_cocos_run_lengths(tmp_path: Path) -> None:
    masks = torch.zeros(3, *CANVAS, dtype=torch.bool)
    masks[0, TOP + 4 : TOP + 20, 8:40] = True
    write(tmp_path, make_head(Task.INSTANCE_SEGMENTATION), objects(boxes=BOXES, masks=masks))
    segmentation = only_result(tmp_path)["segmentation"]
    assert segmentation["size"] == list(SIZE)
    mask = run_length.decode(segmentation)
    want = np.zeros(SIZE, np.uint8)
    want[5:25, 10:50] = 1
    assert np.array_equal(mask, want)


def test_keypoints_are_in_cocos_format(tmp_path: Path) -> None:
    points = torch.zeros(3, len(KEYPOINTS), 2)
    points[0, 1] = torch.tensor([16.0, TOP + 8])
    scores = torch.full((3, len(KEYPOINTS)), 0.5)
    write(tmp_path, make_head(Task.KEYPOINT_DETECTION), objects(boxes=BOXES, keypoints=points, keypoint_scores=scores))
    result = only_result(tmp_path)
    assert len(result["keypoints"]) == 3 * len(KEYPOINTS)
    # COCO counts pixels, so the middle of a pixel has whole coordinates.
    assert result["keypoints"][3:6] == [16 * SCALE - 0.5, 8 * SCALE - 0.5, 0.5]
    categories = json.loads((tmp_path / "images.json").read_text())["categories"]
    assert categories[0]["keypoints"] == list(KEYPOINTS)
    assert categories[0]["skeleton"] == [[1, 3], [2, 3], [3, 4]]


def test_quads_keep_their_corners_in_order(tmp_path: Path) -> None:
    quads = torch.zeros(3, 4, 2)
    quads[0] = torch.tensor([[8.0, TOP], [40, TOP + 4], [36, TOP + 20], [4, TOP + 16]])
    write(tmp_path, make_head(Task.QUADRILATERAL_DETECTION), objects(quads=quads))
    result = only_result(tmp_path)
    assert result["quad"] == [10, 0, 50, 5, 45, 25, 5, 20]
    assert result["bbox"] == [5, 0, 45, 25]


def test_panoptic_segments_are_in_cocos_format(tmp_path: Path) -> None:
    segments = torch.full(CANVAS, -1)
    segments[TOP:52, :32], segments[TOP : TOP + 20, 32:] = 0, 300
    classes = torch.zeros(301, dtype=torch.int64)
    classes[300] = 1
    found = {"segments": segments, "classes": classes, "scores": torch.full((301,), 0.5), "valid": classes >= 0}
    write(tmp_path, make_head(Task.PANOPTIC_SEGMENTATION), found, found)
    content = json.loads((tmp_path / "panoptic.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["image-1.jpg", "folder/image-2.jpg"]
    assert [(c["id"], c["name"], c["isthing"]) for c in content["categories"]][:2] == [(1, "class 0", 1), (2, "class 1", 0)]
    second = content["annotations"][1]
    assert second["file_name"] == "folder/image-2.png"
    with Picture.open(tmp_path / "panoptic" / second["file_name"]) as picture:
        pixels = np.asarray(picture).astype(int)
    ids = pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2]
    assert ids.shape == SIZE
    assert set(np.unique(ids)) == {0, 1, 301}
    for info in second["segments_info"]:
        mask = ids == info["id"]
        assert info["area"] == mask.sum()
        x, y, width, height = info["bbox"]
        assert mask[y : y + height, x : x + width].sum() == info["area"]
    assert [(info["id"], info["category_id"]) for info in second["segments_info"]] == [(1, 1), (301, 2)]
    assert second["segments_info"][0]["bbox"] == [0, 0, 40, 50]


def test_a_class_map_is_a_png_of_numbers_with_a_palette(tmp_path: Path) -> None:
    labels = torch.full(CANVAS, 2)
    labels[:, 32:] = 1
    write(tmp_path, make_head(Task.SEMANTIC_SEGMENTATION), {"map": labels}, {"map": labels})
    with Picture.open(tmp_path / "folder/image-2.png") as picture:
        assert picture.mode == "P"
        assert picture.convert("RGB").getpixel((0, 0)) == color_of(2)
        pixels = np.asarray(picture)
    assert pixels.shape == SIZE
    assert (pixels[:, :40] == 2).all()
    assert (pixels[:, 40:] == 1).all()
    assert json.loads((tmp_path / "classes.json").read_text()) == ["class 0", "class 1", "class 2"]


def test_more_classes_than_a_palette_holds_are_16_bit_grey(tmp_path: Path) -> None:
    labels = torch.full(CANVAS, 299)
    write(tmp_path, make_head(Task.SEMANTIC_SEGMENTATION, classes=300), {"map": labels})
    with Picture.open(tmp_path / "image-1.png") as picture:
        assert picture.mode == "I;16"
        assert (np.asarray(picture) == 299).all()


def test_depth_is_an_array_in_the_annotations_unit(tmp_path: Path) -> None:
    depth = torch.full(CANVAS, 99.0)
    depth[TOP:52] = 2.5
    write(tmp_path, make_head(Task.DEPTH_ESTIMATION), {"depth": depth})
    values = np.load(tmp_path / "image-1.npy")
    assert values.dtype == np.float32
    assert values.shape == SIZE
    assert (values == 2.5).all()


def test_a_reconstructed_image_is_an_image_file(tmp_path: Path) -> None:
    made = torch.zeros(3, *CANVAS)
    made[0], made[2, TOP:52] = 1.0, 0.5
    write(tmp_path, make_head(Task.AUTOENCODING), {"image": made})
    with Picture.open(tmp_path / "image-1.png") as picture:
        assert picture.size == SIZE[::-1]
        assert picture.getpixel((40, 25)) == (255, 0, 128)


def test_an_anomaly_has_a_score_and_a_map(tmp_path: Path) -> None:
    anomaly = torch.zeros(CANVAS)
    anomaly[TOP:52, :32] = 0.5
    write(tmp_path, make_head(Task.ANOMALY_DETECTION), {"scores": torch.tensor(0.25), "map": anomaly})
    assert (tmp_path / "predictions.csv").read_text() == "image,score\nimage-1.jpg,0.25\n"
    with Picture.open(tmp_path / "image-1.png") as picture:
        assert picture.mode == "I;16"
        pixels = np.asarray(picture)
    assert pixels.shape == SIZE
    assert (pixels[:, :38] == 32768).all()
    assert (pixels[:, 42:] == 0).all()


TABLES = [
    pytest.param(
        Task.MULTICLASS_CLASSIFICATION,
        {"probabilities": torch.tensor([0.1, 0.7, 0.2])},
        {"label": "class 1", "class 0": "0.1", "class 1": "0.7", "class 2": "0.2"},
        id="label",
    ),
    pytest.param(
        Task.MULTILABEL_CLASSIFICATION,
        {"scores": torch.tensor([0.9, 0.1, 0.5])},
        {"labels": "class 0;class 2", "class 0": "0.9", "class 1": "0.1", "class 2": "0.5"},
        id="labels",
    ),
    pytest.param(Task.REGRESSION, {"values": torch.tensor([12.5, -3.0])}, {"angle": "12.5", "count": "-3"}, id="values"),
    pytest.param(
        Task.TEXT_RECOGNITION,
        {"text": torch.tensor([1, 0, 4, -1, -1]), "scores": torch.tensor(0.25)},
        {"text": f"{ALPHABET[1]}{ALPHABET[0]}{ALPHABET[4]}", "score": "0.25"},
        id="text",
    ),
]


@pytest.mark.parametrize(("task", "found", "row"), TABLES)
def test_whole_image_predictions_are_rows_of_a_table(
    tmp_path: Path, task: Task, found: dict[str, Tensor], row: dict[str, str]
) -> None:
    write(tmp_path, make_head(task), found, found)
    with (tmp_path / "predictions.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"image": "image-1.jpg", **row}, {"image": "folder/image-2.jpg", **row}]


@pytest.mark.parametrize(("task", "name"), [(Task.METRIC_LEARNING, "embeddings"), (Task.VIEW_INVARIANCE, "features")])
def test_vectors_are_rows_of_one_array(tmp_path: Path, task: Task, name: str) -> None:
    vectors = [torch.randn(16) for _ in range(3)]
    write(tmp_path, make_head(task), *({name: vector} for vector in vectors))
    got = np.load(tmp_path / "vectors.npy")
    assert got.dtype == np.float32
    assert np.array_equal(got, torch.stack(vectors).numpy())
    assert (tmp_path / "images.csv").read_text().splitlines() == [
        "image",
        "image-1.jpg",
        "folder/image-2.jpg",
        "folder/image-3.jpg",
    ]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("task", sorted(REGISTRY), ids=lambda task: task.value)
def test_real_predictions_of_a_head_can_be_written(tmp_path: Path, task: Task) -> None:
    head = make_head(task).eval()
    with torch.no_grad():
        predictions = head.decode(head(make_features(2, CANVAS)), CANVAS)
    write(tmp_path, head, *({name: value[index] for name, value in predictions.items()} for index in range(2)))
    assert any(path.is_file() for path in tmp_path.rglob("*"))
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")], "no temporary file may be left"
