"""Digit scenes, whose labels are exact, read back for every task."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch

from headrace_api.tasks import Task
from headrace_api.training import ImageSize, Training
from headrace_scenes import DIGITS, draw_card, draw_scene, draw_sheet, draw_strip, write_digit_scenes
from headrace_testing.dataset_folder import DatasetFolder
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.data.batches.loader import eval_batches, train_batches
from headrace_trainer.data.dataset import Dataset

SIZE, SCENES = 64, 6
LAYER_OF: dict[Task, str | None] = {
    Task.PANOPTIC_SEGMENTATION: "panoptic",
    Task.INSTANCE_SEGMENTATION: "instances",
    Task.SEMANTIC_SEGMENTATION: "regions",
    Task.KEYPOINT_DETECTION: "keypoints",
    Task.QUADRILATERAL_DETECTION: "quads",
    Task.OBJECT_DETECTION: "objects",
    Task.MULTILABEL_CLASSIFICATION: "objects",
    Task.MULTICLASS_CLASSIFICATION: "digit",
    Task.METRIC_LEARNING: "identity",
    Task.REGRESSION: "count",
    Task.DEPTH_ESTIMATION: "depth",
    Task.ANOMALY_DETECTION: "oddity",
    Task.TEXT_RECOGNITION: "text",
    Task.AUTOENCODING: None,
    Task.VIEW_INVARIANCE: "identity",
}
HEADS: list[dict[str, Any]] = [
    {"name": task.value, task.name.lower(): {}, **({"annotations": layer} if layer else {})} for task, layer in LAYER_OF.items()
]
TRAINING = Training(batch_size=8, image_size=ImageSize(height=SIZE, width=SIZE))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("scenes")
    write_digit_scenes(folder, train=SCENES, val=SCENES, size=SIZE, others_share=1.0)
    opened = DatasetFolder(folder).open(*HEADS)
    assert opened.problems.bad_images == 0
    return opened


Rows = dict[str, dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def val_rows(dataset: Dataset) -> dict[str, Rows]:
    """What the val split has, by image and task: nothing for a task that the image has no label for."""

    def rows() -> Iterator[tuple[str, Rows]]:
        for batch in eval_batches(dataset.val, TRAINING, threads=1):
            for row, name in enumerate(batch.names):
                yield (
                    name,
                    {
                        task: {key: tensor[row] for key, tensor in targets.items()}
                        for task, targets in batch.targets.items()
                        if batch.labelled[task][row]
                    },
                )

    return dict(rows())


def test_every_kind_of_image_has_its_own_labels_and_self_supervised_heads_use_all(val_rows: dict[str, Rows]) -> None:
    kinds = {
        "images": {task.value for task, layer in LAYER_OF.items() if layer not in {None, "digit", "identity", "oddity", "text"}},
        "cards": {"multiclass-classification", "metric-learning"},
        "strips": {"text-recognition"},
        "sheets": {"anomaly-detection"},
    }
    assert len(val_rows) == 4 * SCENES
    for name, tasks in val_rows.items():
        assert set(tasks) == kinds[name.split("/")[0]] | {"autoencoding", "view-invariance"}


@pytest.mark.parametrize("index", range(SCENES))
def test_scenes_are_read_as_they_were_drawn(dataset: Dataset, val_rows: dict[str, Rows], index: int) -> None:
    scene, rows = draw_scene("val", index, SIZE), val_rows[f"images/val/val-{index:05d}.jpg"]
    n = len(scene.digits)
    found = {task: {key: tensor.numpy() for key, tensor in targets.items()} for task, targets in rows.items()}
    for task in ("object-detection", "instance-segmentation", "keypoint-detection", "quadrilateral-detection"):
        assert found[task]["valid"].sum() == n
        assert not found[task]["crowd"].any()
        want = np.zeros(n) if task == "keypoint-detection" else scene.digits
        np.testing.assert_array_equal(found[task]["classes"][:n], want)
    np.testing.assert_array_equal(found["instance-segmentation"]["masks"][:n], scene.masks)
    np.testing.assert_array_equal(found["instance-segmentation"]["boxes"], found["object-detection"]["boxes"])
    np.testing.assert_allclose(found["quadrilateral-detection"]["quads"][:n], scene.corners, atol=0.01)
    keypoints = found["keypoint-detection"]
    inside = ((scene.corners >= 0) & (scene.corners <= SIZE)).all(axis=-1)
    np.testing.assert_array_equal(keypoints["visibility"][:n], np.where(scene.covered, 1, 2) * inside)
    np.testing.assert_allclose(keypoints["keypoints"][:n][inside], scene.corners[inside], atol=0.01)
    sides = np.linalg.norm(scene.corners - np.roll(scene.corners, -1, axis=1), axis=-1)
    np.testing.assert_allclose(keypoints["area"][:n], sides[:, 0] * sides[:, 1], rtol=0.01)
    np.testing.assert_array_equal(np.flatnonzero(found["multilabel-classification"]["labels"]), np.unique(scene.digits))
    np.testing.assert_array_equal(
        found["semantic-segmentation"]["map"], np.where(scene.regions == 255, -1, scene.regions.astype(int))
    )
    assert found["regression"]["values"].tolist() == [n]
    np.testing.assert_allclose(found["depth-estimation"]["depth"], scene.depth, atol=6e-4)
    assert found["depth-estimation"]["known"].all()
    panoptic = found["panoptic-segmentation"]
    labels = next(head.labels for head in dataset.heads if head.spec.task is Task.PANOPTIC_SEGMENTATION)
    classes = panoptic["classes"][panoptic["segments"]]
    assert labels.classes[: len(DIGITS)] == DIGITS
    for mask, digit in zip(scene.masks, scene.digits, strict=True):
        assert (classes[mask] == digit).all()
        assert len(np.unique(panoptic["segments"][mask])) == 1
    bare = ~scene.masks.any(axis=0)
    np.testing.assert_array_equal(classes[bare] - len(DIGITS), scene.ground[bare])


@pytest.mark.parametrize("index", range(SCENES))
def test_cards_strips_and_sheets_are_read_as_they_were_drawn(dataset: Dataset, val_rows: dict[str, Rows], index: int) -> None:
    classes = {head.spec.task: head.labels.classes for head in dataset.heads}
    card, rows = draw_card("val", index, SCENES, SIZE), val_rows[f"cards/val/cards-val-{index:05d}.jpg"]
    assert rows["multiclass-classification"]["label"] == card.digit
    assert classes[Task.METRIC_LEARNING][int(rows["metric-learning"]["label"])] == f"scan {card.scan}"
    assert rows["view-invariance"]["label"] == rows["metric-learning"]["label"], "the label that scores it"
    assert rows["autoencoding"]["label"] == -1
    _, text = draw_strip("val", index, SIZE)
    read = val_rows[f"strips/val/strips-val-{index:05d}.jpg"]["text-recognition"]["text"].tolist()
    assert [DIGITS[character] for character in read if character >= 0] == list(text)
    sheet, found = draw_sheet("val", index, SIZE), val_rows[f"sheets/val/sheets-val-{index:05d}.jpg"]["anomaly-detection"]
    assert bool(found["anomalous"]) is bool(index % 2)
    assert found["has_mask"]
    np.testing.assert_array_equal(found["mask"].numpy(), sheet.odd)


def test_all_fifteen_come_in_one_batch_to_train_on(dataset: Dataset) -> None:
    with closing(
        train_batches(dataset, Training(batch_size=4 * SCENES, image_size=ImageSize(height=48, width=80)), 0, 2)
    ) as batches:
        batch: Batch = next(batches)
    assert {task: int(flags.sum()) for task, flags in batch.labelled.items()} == {
        task.value: 4 * SCENES if task.self_supervised else SCENES for task in Task
    }
    for targets in batch.targets.values():
        for name, tensor in targets.items():
            assert torch.isfinite(tensor.float()).all(), name
    assert not batch.targets["anomaly-detection"]["anomalous"].any()
    assert any("images are neither mirrored nor cropped" in line for line in dataset.describe())
