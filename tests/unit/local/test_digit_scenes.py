import json

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

from headrace_local.digit_scenes import IGNORE, REGIONS, draw_scene, write_digit_scenes


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
