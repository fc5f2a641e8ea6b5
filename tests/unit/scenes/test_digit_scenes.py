import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from headrace_api.dataset import Manifest
from headrace_api.tasks import Task
from headrace_scenes import (
    IGNORE,
    LAYERS,
    REGIONS,
    draw_card,
    draw_scene,
    draw_sheet,
    draw_strip,
    write_digit_scenes,
)


def test_the_same_seed_draws_the_same_scene_and_another_does_not():
    first, again, other = draw_scene("train", 3), draw_scene("train", 3), draw_scene("train", 3, seed=1)
    assert np.array_equal(first.image, again.image)
    assert not np.array_equal(first.image, other.image)


def test_digits_do_not_share_pixels_and_are_digit_regions():
    for index in range(20):
        scene = draw_scene("val", index)
        assert scene.masks.sum(axis=0).max(initial=0) <= 1
        assert (scene.regions[scene.masks.any(axis=0)] == REGIONS.index("digit")).all()
        assert set(np.unique(scene.regions)) <= {*range(len(REGIONS)), IGNORE}


def test_the_written_masks_have_the_stated_areas_and_boxes(tmp_path):
    write_digit_scenes(tmp_path, train=6, val=2, size=64)
    coco = COCO(tmp_path / "instances_train.json")
    assert coco.anns
    for annotation in coco.anns.values():
        mask = coco.annToMask(annotation)
        rows, columns = np.nonzero(mask)
        assert mask.sum() == annotation["area"]
        assert annotation["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]


def test_panoptic_segments_cover_every_pixel(tmp_path):
    write_digit_scenes(tmp_path, train=2, val=1, size=64)
    for entry in json.loads((tmp_path / "panoptic_train.json").read_text())["annotations"]:
        pixels = np.asarray(Image.open(tmp_path / "panoptic/train" / entry["file_name"]), np.int64)
        ids = pixels @ [1, 256, 65536]
        assert {segment["id"]: segment["area"] for segment in entry["segments_info"]} == dict(
            zip(*np.unique(ids, return_counts=True), strict=True)
        )


def test_a_labelled_share_leaves_scenes_out_of_layers(tmp_path):
    write_digit_scenes(tmp_path, train=40, val=4, size=32, labelled_share=0.5)
    objects = len(json.loads((tmp_path / "objects_train.json").read_text())["images"])
    regions = len(list((tmp_path / "regions/train").iterdir()))
    assert 8 <= objects <= 32
    assert 8 <= regions <= 32
    assert len(json.loads((tmp_path / "objects_val.json").read_text())["images"]) == 4


def area(corners):
    x, y = corners.T
    return (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2


def test_corners_go_clockwise_from_the_digits_own_top_left_around_what_is_seen_of_it():
    for index in range(20):
        scene = draw_scene("train", index)
        for mask, corners in zip(scene.masks, scene.corners, strict=True):
            rows, columns = np.nonzero(mask)
            assert area(corners) > 0
            assert corners[0].sum() < corners.mean(axis=0).sum(), "digits are rotated by at most 15 degrees"
            assert (corners >= -1).all()
            assert (corners <= 97).all()
            for here, after in zip(corners, np.roll(corners, -1, axis=0), strict=True):
                side = (after[0] - here[0]) * (rows + 0.5 - here[1]) - (after[1] - here[1]) * (columns + 0.5 - here[0])
                assert side.min() > -1.5 * np.linalg.norm(after - here), "a pixel is outside by more than its width"


def test_the_object_of_keypoints_is_the_rectangle_whose_corners_they_are(tmp_path):
    write_digit_scenes(tmp_path, train=6, val=1, others_share=0, layers=("keypoints",))
    annotations = json.loads((tmp_path / "keypoints_train.json").read_text())["annotations"]
    assert annotations
    for annotation in annotations:
        corners = np.reshape(annotation["keypoints"], (4, 3))[:, :2] + 0.5
        low, high = corners.min(axis=0), corners.max(axis=0)
        assert annotation["area"] == pytest.approx(area(corners), abs=0.5)
        assert annotation["bbox"] == pytest.approx([*low, *(high - low)], abs=0.02)


def test_what_is_on_top_is_nearer_and_larger():
    for index in range(30):
        scene = draw_scene("train", index)
        depths = [np.unique(scene.depth[mask]) for mask in scene.masks]
        assert all(len(depth) == 1 for depth in depths)
        assert (np.diff([depth[0] for depth in depths]) <= 0).all(), "in the order of pasting"
        assert 1 <= scene.depth.min() <= scene.depth.max() == 2.5
        covered = scene.covered[-1]
        assert len(scene.digits) < 2 or not covered.any() or scene.masks[-1].sum() < 24, "something covers the last digit"


def test_cards_of_one_scan_are_turned_differently_and_val_shows_other_scans():
    train, val = ([draw_card(split, index, 60, size=48) for index in range(60)] for split in ("train", "val"))
    assert len({card.scan for card in train}) == len({card.scan for card in val}) == 10
    assert not {card.scan for card in train} & {card.scan for card in val}
    assert len({card.degrees for card in train}) == 60
    assert max(abs(card.degrees) for card in train) <= 60
    for card in train:
        assert {other.digit for other in train if other.scan == card.scan} == {card.digit}


def test_a_turned_card_is_the_upright_digit_turned_clockwise():
    """The direction in which ink spreads turns with the card; for a "1", which is upright, it is the angle."""
    ones = [card for card in (draw_card("train", index, 10_000) for index in range(400)) if card.digit == 1]
    found = []
    for card in ones:
        bright = np.asarray(card.image, np.float32).min(axis=2) > 150
        rows, columns = np.nonzero(bright)
        if len(rows) > 60:
            spread = np.linalg.eigh(np.cov(columns, rows))[1][:, 1]
            spread = spread if spread[1] < 0 else -spread  # from the foot upwards
            found.append((np.rad2deg(np.arctan2(spread[0], -spread[1])), card.degrees))
    assert len(found) > 10
    assert np.corrcoef(np.array(found).T)[0, 1] > 0.7


def test_strips_have_one_to_six_digits_and_are_not_square():
    strips = [draw_strip("train", index) for index in range(40)]
    assert {image.shape for image, _ in strips} == {(32, 96, 3)}
    assert {len(text) for _, text in strips} == {1, 2, 3, 4, 5, 6}
    assert all(text.isdecimal() for _, text in strips)


def test_every_second_sheet_in_val_has_something_odd_and_none_in_train():
    assert [draw_sheet("val", index).odd.any() for index in range(6)] == [False, True] * 3
    assert not any(draw_sheet("train", index).odd.any() for index in range(6))
    odd = draw_sheet("val", 1).odd
    assert 24 < odd.sum() < odd.size / 9


def test_a_dataset_has_layers_for_every_task_that_is_annotated(tmp_path):
    write_digit_scenes(tmp_path, train=8, val=4, size=32)
    manifest = Manifest.model_validate_json((tmp_path / "dataset.json").read_text())
    assert tuple(layer.name for layer in manifest.layers) == LAYERS
    without_layer = {Task.MULTILABEL_CLASSIFICATION, Task.AUTOENCODING, Task.VIEW_INVARIANCE}
    assert {layer.task for layer in manifest.layers} == set(Task) - without_layer


def test_only_requested_layers_are_written(tmp_path):
    write_digit_scenes(tmp_path, train=4, val=4, size=32, layers=["angle", "text"])
    assert {path.name for path in tmp_path.iterdir()} == {
        *("dataset.json", "cards", "strips", "angle_train.csv", "angle_val.csv", "text_train.jsonl", "text_val.jsonl")
    }
    write_digit_scenes(tmp_path / "none", train=2, val=2, size=32, others_share=0)
    names = [layer["name"] for layer in json.loads((tmp_path / "none/dataset.json").read_text())["layers"]]
    assert names == [*("objects", "digits", "instances", "keypoints", "quads", "regions", "panoptic", "depth", "count")]
    with pytest.raises(ValueError, match="not layers of digit scenes: colours; the layers are objects, "):
        write_digit_scenes(tmp_path / "wrong", 1, 1, layers=["colours"])


def test_a_share_of_labels_leaves_images_of_every_kind_out_of_numbers(tmp_path):
    write_digit_scenes(
        tmp_path, train=100, val=4, size=32, labelled_share=0.1, others_share=1.0, layers=["count", "angle", "digit"]
    )
    rows = {name: len(list(csv.reader((tmp_path / f"{name}_train.csv").open()))) - 1 for name in ("count", "angle", "digit")}
    assert 3 <= rows["count"] <= 20
    assert 3 <= rows["angle"] <= 20
    assert rows["digit"] == 100


def test_it_is_a_program(tmp_path):
    arguments = [str(tmp_path), "--train", "2", "--val", "1", "--size", "32", "--layers", "count", "depth"]
    subprocess.run([sys.executable, "-m", "headrace_scenes", *arguments], check=True)
    assert len(json.loads((tmp_path / "dataset.json").read_text())["layers"]) == 2
