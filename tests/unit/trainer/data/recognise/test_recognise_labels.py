"""Datasets without dataset.json whose labels are in COCO's, YOLO's, ICDAR's or VOC's files."""

import json
from pathlib import Path

import pytest

from headrace_testing.dataset_folder import coco
from headrace_testing.recognising import (
    BOX,
    YAML,
    complaint_of,
    folder_of,
    layer,
    manifest_of,
    recognised,
    suggestion_of,
    yolo_folder,
)

POLYGON = BOX | {"segmentation": [[1, 1, 9, 1, 9, 9]]}


POINTS = POLYGON | {"keypoints": [1, 2, 2]}


def test_coco_has_a_layer_for_each_kind_of_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "train2017/1.jpg", "val2017/2.jpg", "annotations/panoptic_train2017/1.png")
    for split, image in (("train2017", "1.jpg"), ("val2017", "2.jpg")):
        folder.json(f"annotations/instances_{split}.json", coco([image], [POLYGON]))
        folder.json(f"annotations/person_keypoints_{split}.json", coco([image], [POINTS]))
        segments = {"image_id": 1, "file_name": "1.png", "segments_info": []}
        folder.json(f"annotations/panoptic_{split}.json", coco([image]) | {"annotations": [segments]})
        folder.json(f"annotations/captions_{split}.json", coco([image]) | {"annotations": [{"image_id": 1, "caption": "cat"}]})
    folder.json("annotations/image_info_test2017.json", {"images": [], "categories": []})

    def splits(name: str) -> dict[str, str]:
        return {split: f"annotations/{name}_{split}2017.json" for split in ("train", "val")}

    assert manifest_of(folder) == {
        "images": ".",
        "layers": [
            layer("instances", "instance-segmentation", "coco", splits("instances")),
            layer("panoptic", "panoptic-segmentation", "coco-panoptic", splits("panoptic")),
            layer("person_keypoints", "keypoint-detection", "coco", splits("person_keypoints")),
        ],
    }


def test_coco_without_segments_is_boxes_and_without_val_is_split(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.jpg").json("annotations/instances_default.json", coco(["1.jpg"], [BOX]))
    splits = {"all": "annotations/instances_default.json"}
    assert manifest_of(folder) == {"images": "images", "layers": [layer("instances", "object-detection", "coco", splits)]}


def test_coco_next_to_the_images_of_each_split_as_roboflow_exports_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"{split}/1.jpg" for split in ("train", "valid", "test")))
    for split in ("train", "valid", "test"):
        folder.json(f"{split}/_annotations.coco.json", coco(["1.jpg"], [BOX]))
    splits = {"train": "train/_annotations.coco.json", "val": "valid/_annotations.coco.json"}
    assert manifest_of(folder)["layers"] == [layer("objects", "object-detection", "coco", splits)]
    assert "not used: test/_annotations.coco.json" in recognised(folder).describe()


def test_annotations_belong_to_the_image_next_to_them_if_several_have_its_name(tmp_path: Path) -> None:
    by_coco = folder_of(tmp_path / "coco", *(f"{split}/1.jpg" for split in ("train", "valid", "test")))
    by_yolo = folder_of(tmp_path / "yolo", *(f"{split}/images/1.jpg" for split in ("train", "valid", "test")))
    for split in ("train", "valid"):
        by_coco.json(f"{split}/_annotations.coco.json", coco(["1.jpg"], [BOX]))
        by_yolo.text(f"{split}/labels/1.txt", "0 .5 .5 .1 .1")
    by_yolo.text("data.yaml", "train: ../train/images\nval: ../valid/images\nnames: [cat]")
    for folder, below in ((by_coco, ""), (by_yolo, "images/")):
        dataset = folder.open()
        assert (dataset.train.images, dataset.val.images) == ((f"train/{below}1.jpg",), (f"valid/{below}1.jpg",))


def test_json_with_a_byte_order_mark_is_coco_too(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.jpg", "images/2.jpg")
    folder.text("annotations/instances_default.json", "\ufeff" + json.dumps(coco(["1.jpg", "2.jpg"], [BOX])))
    assert manifest_of(folder)["layers"][0]["format"] == "coco"
    assert folder.open().heads[0].labels.classes == ("cat", "dog")


def test_a_coco_file_may_have_annotations_in_one_split_only(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "1.jpg", "2.jpg").json("train.json", coco(["1.jpg"], [POLYGON])).json("val.json", coco(["2.jpg"]))
    splits = {"train": "train.json", "val": "val.json"}
    assert manifest_of(folder)["layers"] == [layer("objects", "instance-segmentation", "coco", splits)]


def test_large_coco_files_are_recognised_by_their_ends(tmp_path: Path) -> None:
    """Images alone fill the first megabyte; the kind of annotation only shows at the end."""
    content = coco([f"{'x' * 200}{number}.jpg" for number in range(6000)], [POLYGON])
    folder = folder_of(tmp_path, "1.jpg").json("annotations/instances_train.json", content)
    assert (tmp_path / "annotations/instances_train.json").stat().st_size > 1 << 20
    assert manifest_of(folder)["layers"][0]["task"] == "instance-segmentation"


def test_two_coco_files_of_one_split_are_ambiguous(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "1.jpg")
    for name in ("instances_train", "train-instances"):
        folder.json(f"annotations/{name}.json", coco(["1.jpg"], [BOX]))
    assert "could both be the split 'train' of layer 'instances'" in complaint_of(folder)


def test_other_json_is_not_coco(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "1.jpg").json("results.json", [BOX]).json("settings.json", {"images": 3}).text("x.json", "{")
    for number in range(40):
        folder.json(f"labelme/{number}.json", coco(["1.jpg"], [BOX]))
    assert manifest_of(folder)["layers"] == []


@pytest.mark.parametrize(
    ("line", "yaml", "task"),
    [
        ("0 .5 .5 .1 .1", YAML, "object-detection"),
        ("", YAML, "object-detection"),
        ("0 .1 .1 .5 .1 .5 .5", YAML, "instance-segmentation"),
        ("0 .1 .1 .5 .1 .5 .5\n0 .1 .1 .2 .1 .2 .2 .1 .2", YAML, "instance-segmentation"),
        ("0 .5 .5 .1 .1 .5 .5 2", YAML + "kpt_shape: [1, 3]", "keypoint-detection"),
        ("0 .1 .1 .2 .1 .2 .2 .1 .2", YAML + "task: obb", "quadrilateral-detection"),
    ],
)
def test_yolo_by_its_yaml_and_the_lines_of_its_labels(tmp_path: Path, line: str, yaml: str, task: str) -> None:
    splits = {"train": "labels/train", "val": "labels/val"}
    folder = yolo_folder(tmp_path, line, yaml)
    assert manifest_of(folder) == {"images": "images", "layers": [layer("objects", task, "yolo", splits, classes="data.yaml")]}


def test_lists_of_class_names_next_to_labels_are_not_labels(tmp_path: Path) -> None:
    folder = yolo_folder(tmp_path, "0 .5 .5 .1 .1").text("labels/train/classes.txt", "cat\n")
    assert manifest_of(folder)["layers"][0]["task"] == "object-detection"
    assert folder.open().train.images == ("images/train/1.jpg",)


def test_four_points_everywhere_are_ambiguous(tmp_path: Path) -> None:
    complaint = complaint_of(yolo_folder(tmp_path, "0 .1 .1 .2 .1 .2 .2 .1 .2\n"))
    assert "all its labels have four points; set `task` in it to segment (polygons) or obb (oriented boxes)" in complaint


def test_yolo_as_roboflow_exports_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "train/images/1.jpg", "valid/images/2.jpg", "test/images/3.jpg")
    for split in ("train", "valid", "test"):
        folder.text(f"{split}/labels/1.txt", "0 .5 .5 .1 .1")
    folder.text("data.yaml", "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: [cat]")
    assert manifest_of(folder)["layers"][0]["splits"] == {"train": "train/labels", "val": "valid/labels"}
    assert any(line.startswith("not used: test of data.yaml") for line in recognised(folder).describe())


def test_yolo_in_a_separate_folder_whose_path_is_from_another_machine(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "coco8/images/train/1.jpg").text("coco8/labels/train/1.txt", "0 .5 .5 .1 .1")
    folder.text("coco8/coco8.yaml", "path: /data/coco8\ntrain: images/train\nval: images/train\nnames: {0: cat}")
    assert manifest_of(folder)["layers"][0]["splits"] == {"all": "coco8/labels/train"}
    assert "coco8/coco8.yaml: train and val are the same images, so they are divided" in recognised(folder).describe()


@pytest.mark.parametrize(
    ("yaml", "complaint"),
    [
        ("train: a/images\nnames: [cat]", "data.yaml: train is 'a/images', whose labels are expected in a/labels; found none"),
        (
            "train: train.txt\nnames: [cat]",
            "data.yaml: train is 'train.txt', a list of images, expected at train.txt; found none",
        ),
        ("train: [a, b]\nnames: [cat]", "data.yaml: train is ['a', 'b']; expected one folder, or one list of images"),
    ],
)
def test_a_yaml_that_leads_nowhere_is_reported(tmp_path: Path, yaml: str, complaint: str) -> None:
    assert complaint in complaint_of(folder_of(tmp_path, "1.jpg").text("data.yaml", yaml))


@pytest.mark.parametrize("prefix", ["", "./", "../", "/data/somebody/set/"], ids=["plain", "here", "above", "absolute"])
def test_yolo_by_lists_of_images(tmp_path: Path, prefix: str) -> None:
    folder = folder_of(tmp_path, *(f"images/{split}/{number}.jpg" for split in ("train", "val") for number in (1, 2)))
    for name in ("train/1", "train/2", "val/1"):
        folder.text(f"labels/{name}.txt", "0 .1 .1 .3 .1 .3 .3\n")
    for split in ("train", "val"):
        folder.text(f"{split}.txt", "".join(f"{prefix}images/{split}/{number}.jpg\n" for number in (1, 2)))
    folder.text("data.yaml", "train: train.txt\nval: val.txt\nnames: [cat]")
    splits = {"train": "train.txt", "val": "val.txt"}
    assert manifest_of(folder) == {
        "images": "images",
        "layers": [layer("objects", "instance-segmentation", "yolo", splits, classes="data.yaml")],
    }
    dataset = folder.open()
    assert dataset.train.images == ("images/train/1.jpg", "images/train/2.jpg")
    assert dataset.val.images == ("images/val/1.jpg",)
    assert "1 listed images without a label file, left unlabelled (an empty file marks a negative)" in dataset.describe()


def test_yolo_by_one_list_of_images_with_labels_next_to_them(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "obj_train_data/1.jpg", "obj_train_data/2.jpg").text("obj_train_data/1.txt", "0 .5 .5 .1 .1")
    folder.text("obj_train_data/2.txt", "").text("lists/all.txt", "data\\obj_train_data\\1.jpg\n\ndata/obj_train_data/2.jpg\n")
    folder.text("data.yaml", "train: lists/all.txt\nval: lists/all.txt\nnames: [cat]")
    assert manifest_of(folder)["layers"][0]["splits"] == {"all": "lists/all.txt"}
    dataset = folder.open()
    assert len(dataset.train) + len(dataset.val) == 2


def test_yolo_labels_without_class_names_are_pointed_out(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.jpg", "images/2.jpg").text("labels/1.txt", "0 .5 .5 .1 .1\n3 .5 .5 .1 .1\n")
    assert manifest_of(folder)["layers"] == []
    (note,) = (line for line in recognised(folder).describe() if "may hold YOLO labels" in line)
    assert note.startswith("labels may hold")
    assert "add a data.yaml" in note
    folder.text("labels/1.txt", "0 .5 .5 .1 .1\nnot a number\n")
    assert not any("YOLO" in line for line in recognised(folder).describe())


def test_icdar_is_recognised_by_its_lines(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/img_1.jpg", "images/img_2.jpg")
    folder.text("gt/gt_img_1.txt", "\ufeff1,1,9,1,9,9,1,9,a, b\n2,2,9,2,9,9,2,9,###\n").text("gt/gt_img_2.txt", "")
    want = {"images": "images", "layers": [layer("texts", "quadrilateral-detection", "icdar", {"all": "gt"})]}
    assert manifest_of(folder) == want
    dataset = folder.open()
    assert len(dataset.train) + len(dataset.val) == 2
    folder.text("gt/gt_img_2.txt", "1,1,9,9,word\n")
    assert manifest_of(folder)["layers"] == [], "ICDAR 2013 has other lines"


def test_icdar_as_it_comes_has_a_folder_for_each_split(tmp_path: Path) -> None:
    quad = "1,1,9,1,9,9,1,9,a"
    train, test = "ch4_training_localization_transcription_gt", "Challenge4_Test_Task1_GT"
    folder = folder_of(
        tmp_path, *(f"{name}/img_{number}.jpg" for name in ("ch4_training_images", "ch4_test_images") for number in "12")
    )
    for name in (train, test):
        folder.text(f"{name}/gt_img_1.txt", quad).text(f"{name}/gt_img_2.txt", quad)
    assert manifest_of(folder)["layers"] == [layer("texts", "quadrilateral-detection", "icdar", {"all": train})]
    assert f"not used: {test}" in recognised(folder).describe()
    dataset = folder.open()
    assert {name.split("/")[0] for name in (*dataset.train.images, *dataset.val.images)} == {"ch4_training_images"}
    folder.text("more/training/gt_img_1.txt", quad)
    assert f"ICDAR's text files in {train}; ICDAR's text files in more/training" in complaint_of(folder)


def test_masks_of_segments_are_found_where_they_are(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"{kind}/{split}/1.png" for kind in ("images", "panoptic") for split in ("train", "val")))
    for split in ("train", "val"):
        segments = {"image_id": 1, "file_name": "1.png", "segments_info": []}
        folder.json(f"panoptic_{split}.json", coco([f"{split}/1.png"]) | {"annotations": [segments]})
    splits = {split: f"panoptic_{split}.json" for split in ("train", "val")}
    masks = {split: f"panoptic/{split}" for split in ("train", "val")}
    assert manifest_of(folder) == {
        "images": "images",
        "layers": [layer("panoptic", "panoptic-segmentation", "coco-panoptic", splits, masks=masks)],
    }


@pytest.mark.parametrize(
    ("lists", "splits"),
    [
        ((), {"all": "Annotations"}),
        (("train", "val", "trainval", "test"), {split: f"ImageSets/Main/{split}.txt" for split in ("train", "val")}),
        (("trainval", "test"), {"all": "ImageSets/Main/trainval.txt"}),
        (("train",), {"all": "ImageSets/Main/train.txt"}),
    ],
)
def test_voc_with_its_lists_or_without(tmp_path: Path, lists: tuple[str, ...], splits: dict[str, str]) -> None:
    folder = folder_of(tmp_path, "JPEGImages/1.jpg").text("Annotations/1.xml", "")
    for name in lists:
        folder.text(f"ImageSets/Main/{name}.txt", "1")
    assert manifest_of(folder) == {"images": "JPEGImages", "layers": [layer("objects", "object-detection", "voc", splits)]}


def test_vocs_folder_may_be_in_lower_case(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.jpg").text("annotations/1.xml", "")
    assert manifest_of(folder)["layers"] == [layer("objects", "object-detection", "voc", {"all": "annotations"})]


def test_two_vocs_are_ambiguous(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a/1.jpg").text("VOC2007/Annotations/1.xml", "").text("VOC2012/Annotations/1.xml", "")
    assert "Pascal VOC (VOC2007/Annotations); Pascal VOC (VOC2012/Annotations)" in complaint_of(folder)
    assert [layer.name for layer in suggestion_of(folder).layers] == ["VOC2007", "VOC2012"]
