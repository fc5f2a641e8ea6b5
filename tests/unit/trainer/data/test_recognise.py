"""Datasets without dataset.json."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_api.dataset import Manifest
from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_testing.dataset_folder import DatasetFolder, coco
from headrace_trainer.data.check import check_dataset
from headrace_trainer.data.check_report import Report
from headrace_trainer.data.files import walk
from headrace_trainer.data.recognise import Recognised, recognise
from headrace_trainer.data.recognise.listing import UnclearError
from headrace_trainer.errors import FatalError

BOX = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}
POLYGON = BOX | {"segmentation": [[1, 1, 9, 1, 9, 9]]}
POINTS = POLYGON | {"keypoints": [1, 2, 2]}


def folder_of(root: Path, *images: str) -> DatasetFolder:
    folder = DatasetFolder(root)
    for image in images:
        folder.image(image)
    return folder


def recognised(folder: DatasetFolder) -> Recognised:
    return recognise(folder.root, walk(folder.root))


def manifest_of(folder: DatasetFolder) -> dict[str, Any]:
    """Without the version, as it is logged."""
    logged = recognised(folder).describe()[-1]
    assert Manifest.model_validate_json(logged) == recognised(folder).manifest
    content: dict[str, Any] = json.loads(logged)
    assert content.pop("version") == 1
    return content


def complaint_of(folder: DatasetFolder) -> str:
    with pytest.raises(FatalError) as caught:
        recognised(folder)
    assert caught.value.reason is Reason.BAD_DATASET
    return caught.value.message


def suggestion_of(folder: DatasetFolder) -> Manifest:
    with pytest.raises(UnclearError) as caught:
        recognised(folder)
    assert caught.value.suggestion is not None
    return caught.value.suggestion


def layer(name: str, task: str, format_: str, splits: dict[str, str], **fields: Any) -> dict[str, Any]:
    return {"name": name, "task": task, "format": format_, "splits": splits, **fields}


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


def test_coco_without_segments_is_boxes_and_without_val_is_divided(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.jpg").json("annotations/instances_default.json", coco(["1.jpg"], [BOX]))
    splits = {"all": "annotations/instances_default.json"}
    assert manifest_of(folder) == {"images": "images", "layers": [layer("instances", "object-detection", "coco", splits)]}


def test_coco_beside_the_images_of_each_split_as_roboflow_exports_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"{split}/1.jpg" for split in ("train", "valid", "test")))
    for split in ("train", "valid", "test"):
        folder.json(f"{split}/_annotations.coco.json", coco(["1.jpg"], [BOX]))
    splits = {"train": "train/_annotations.coco.json", "val": "valid/_annotations.coco.json"}
    assert manifest_of(folder)["layers"] == [layer("objects", "object-detection", "coco", splits)]
    assert "not used: test/_annotations.coco.json" in recognised(folder).describe()


def test_images_of_one_name_in_several_splits_are_those_beside_their_annotations(tmp_path: Path) -> None:
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


def test_large_coco_files_are_told_by_their_ends(tmp_path: Path) -> None:
    """Images alone fill the first megabyte; what the annotations are stands at the end."""
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


YAML = "train: images/train\nval: images/val\nnames: [cat]\n"


def yolo_folder(root: Path, line: str, yaml: str = YAML) -> DatasetFolder:
    folder = folder_of(root, "images/train/1.jpg", "images/val/2.jpg").text("data.yaml", yaml)
    return folder.text("labels/train/1.txt", line).text("labels/val/2.txt", "")


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


def test_names_of_classes_that_tools_write_beside_labels_are_no_labels(tmp_path: Path) -> None:
    folder = yolo_folder(tmp_path, "0 .5 .5 .1 .1").text("labels/train/classes.txt", "cat\n")
    assert manifest_of(folder)["layers"][0]["task"] == "object-detection"
    assert folder.open().train.images == ("images/train/1.jpg",)


def test_four_points_everywhere_are_ambiguous(tmp_path: Path) -> None:
    complaint = complaint_of(yolo_folder(tmp_path, "0 .1 .1 .2 .1 .2 .2 .1 .2\n"))
    assert "all its labels have four points, which may be polygons (segment) or oriented boxes (obb)" in complaint


def test_yolo_as_roboflow_exports_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "train/images/1.jpg", "valid/images/2.jpg", "test/images/3.jpg")
    for split in ("train", "valid", "test"):
        folder.text(f"{split}/labels/1.txt", "0 .5 .5 .1 .1")
    folder.text("data.yaml", "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: [cat]")
    assert manifest_of(folder)["layers"][0]["splits"] == {"train": "train/labels", "val": "valid/labels"}
    assert any(line.startswith("not used: test of data.yaml") for line in recognised(folder).describe())


def test_yolo_in_a_folder_of_its_own_whose_path_is_another_machines(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "coco8/images/train/1.jpg").text("coco8/labels/train/1.txt", "0 .5 .5 .1 .1")
    folder.text("coco8/coco8.yaml", "path: /data/coco8\ntrain: images/train\nval: images/train\nnames: {0: cat}")
    assert manifest_of(folder)["layers"][0]["splits"] == {"all": "coco8/labels/train"}
    assert "coco8/coco8.yaml: train and val are the same images, which are divided" in recognised(folder).describe()


@pytest.mark.parametrize(
    ("yaml", "complaint"),
    [
        ("train: a/images\nnames: [cat]", "data.yaml: train is 'a/images', whose labels are expected in a/labels; none is there"),
        (
            "train: train.txt\nnames: [cat]",
            "data.yaml: train is 'train.txt', a list of images, expected as train.txt; none is there",
        ),
        ("train: [a, b]\nnames: [cat]", "data.yaml: train is ['a', 'b']; expected one folder, or one list of images"),
    ],
)
def test_a_yaml_that_leads_nowhere_is_said(tmp_path: Path, yaml: str, complaint: str) -> None:
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
    assert "1 listed images without a label file, which are not labelled (an empty file is a negative)" in dataset.describe()


def test_yolo_by_one_list_of_images_whose_labels_lie_beside_them(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "obj_train_data/1.jpg", "obj_train_data/2.jpg").text("obj_train_data/1.txt", "0 .5 .5 .1 .1")
    folder.text("obj_train_data/2.txt", "").text("lists/all.txt", "data\\obj_train_data\\1.jpg\n\ndata/obj_train_data/2.jpg\n")
    folder.text("data.yaml", "train: lists/all.txt\nval: lists/all.txt\nnames: [cat]")
    assert manifest_of(folder)["layers"][0]["splits"] == {"all": "lists/all.txt"}
    dataset = folder.open()
    assert len(dataset.train) + len(dataset.val) == 2


def test_labels_of_yolo_without_class_names_are_pointed_at(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.jpg", "images/2.jpg").text("labels/1.txt", "0 .5 .5 .1 .1\n3 .5 .5 .1 .1\n")
    assert manifest_of(folder)["layers"] == []
    (note,) = (line for line in recognised(folder).describe() if "may have YOLO's labels" in line)
    assert note.startswith("labels may have")
    assert "a data.yaml says" in note
    folder.text("labels/1.txt", "0 .5 .5 .1 .1\nnot a number\n")
    assert not any("YOLO" in line for line in recognised(folder).describe())


def test_icdar_is_told_by_its_lines(tmp_path: Path) -> None:
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


def test_masks_of_segments_are_found_where_they_lie(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("text", "name", "task", "columns"),
    [
        ("image,label\n1.jpg,cat\n", "classes", "multiclass-classification", None),
        ("filename,class\n1.jpg,3\n", "classes", "multiclass-classification", {"image": "filename", "label": "class"}),
        ("image,label\n1.jpg,3.5\n", "values", "regression", None),
        ("id;photo;age\n7;1.jpg;40\n", "values", "regression", {"image": "photo"}),
        ("image,breed\n1.jpg,pug\n", "classes", "multiclass-classification", {"label": "breed"}),
        ("image,wet,warm\n1.jpg,0,1\n", "tags", "multilabel-classification", None),
        ("image,tags\n1.jpg,a;b\n", "tags", "multilabel-classification", {"labels": "tags"}),
        ("image,person_id\n1.jpg,4\n", "identities", "metric-learning", {"identity": "person_id"}),
        ("image,text\n1.jpg,hello\n", "texts", "text-recognition", None),
        ("image,anomaly,mask\n1.jpg,1,m.png\n", "anomalies", "anomaly-detection", {"anomalous": "anomaly"}),
        ("image,x1,y1,x2,y2,x3,y3,x4,y4,class\n1.jpg,1,1,2,1,2,2,1,2,a\n", "quads", "quadrilateral-detection", None),
        ("image,split,label\n1.jpg,train,cat\n", "classes", "multiclass-classification", None),
        ("image,fold,label\n1.jpg,3,cat\n", "classes", "multiclass-classification", None),
        (",image,age\n0,1.jpg,40\n", "values", "regression", None),
        ("image,age,weight\n1.jpg,40,NA\n2.jpg,nan,7\n", "values", "regression", None),
    ],
)
def test_a_lone_table_is_told_by_its_columns(
    tmp_path: Path, text: str, name: str, task: str, columns: dict[str, str] | None
) -> None:
    folder = folder_of(tmp_path, "images/1.jpg", "images/2.jpg").text("labels.csv", text)
    more = {"columns": columns} if columns else {}
    assert manifest_of(folder) == {"images": "images", "layers": [layer(name, task, "csv", {"all": "labels.csv"}, **more)]}


def test_a_tables_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "1.jpg", "2.jpg").text("Labels.CSV", "image,label\n1.jpg,x\n2.jpg,y\n")
    assert manifest_of(folder)["layers"] == [layer("classes", "multiclass-classification", "csv", {"all": "Labels.CSV"})]


def test_json_lines_and_a_table_for_each_split(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.jpg")
    for name in ("train", "val", "test"):
        folder.text(f"{name}.jsonl", '{"image": "1.jpg", "label": "x"}\n')
    splits = {"train": "train.jsonl", "val": "val.jsonl"}
    assert manifest_of(folder)["layers"] == [layer("classes", "multiclass-classification", "jsonl", splits)]
    assert "not used: test.jsonl" in recognised(folder).describe()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the table labels.csv, but it has no row"),
        ("image,label\n", "the table labels.csv, but it has no row"),
        ("a,b\n1,2\n", "the table labels.csv, but no column has names of images; there are: a, b"),
        ("image,x,y\n1.jpg,a,b\n", "no column says what it holds; beside 'image' there are: x, y"),
        ("image\n1.jpg\n", "no column says what it holds; beside 'image' there are: none"),
        ("image;age\n1.jpg;40,5\n", "column 'age' has numbers with a comma (40,5); expected a point"),
        ("image,fold,age\n1.jpg,3,40\n", "column 'fold' does not say train, val or test"),
        ("image,class,xmin,ymin,xmax,ymax\n1.jpg,cat,1,1,9,9\n", "its boxes (xmin, ymin, xmax, ymax) are not read from tables"),
        (
            "image,label,text\n1.jpg,a,b\n",
            "labels.csv as text recognition by column 'text' or multiclass classification by column 'label'",
        ),
    ],
)
def test_a_table_that_does_not_say_what_it_is_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    assert complaint in complaint_of(folder_of(tmp_path, "images/1.jpg").text("labels.csv", text))


def test_two_tables_are_ambiguous(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "1.jpg").text("a.csv", "image,label\n").text("b.csv", "image,label\n")
    assert "can be read in several ways: the table a.csv; the table b.csv" in complaint_of(folder)


def test_folders_are_classes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a", "cat/1.jpg", "dog/1.jpg")
    assert manifest_of(folder) == {
        "images": ".",
        "layers": [layer("classes", "multiclass-classification", "image-folder", {"all": "."})],
    }
    folder = folder_of(tmp_path / "b", *(f"photos/{split}/{name}/1.jpg" for split in ("train", "val", "test") for name in "xy"))
    splits = {"train": "photos/train", "val": "photos/val"}
    assert manifest_of(folder) == {
        "images": "photos",
        "layers": [layer("classes", "multiclass-classification", "image-folder", splits)],
    }
    assert "not used: photos/test" in recognised(folder).describe()
    folder = folder_of(tmp_path / "c", *(f"{split}/{name}/1.jpg" for split in ("train", "test") for name in "xy"))
    assert manifest_of(folder)["layers"][0]["splits"] == {"all": "train"}, "what is to be tested on is not scored on all the while"


def test_what_is_good_and_what_is_not(tmp_path: Path) -> None:
    images = ("train/good/1.png", "test/good/1.png", "test/dent/1.png")
    splits = {"train": "train", "val": "test"}
    want = {"images": ".", "layers": [layer("anomalies", "anomaly-detection", "image-folder", splits)]}
    assert manifest_of(folder_of(tmp_path / "a", *images)) == want
    assert manifest_of(folder_of(tmp_path / "b", *images, "ground_truth/dent/1_mask.png")) == want
    alone = folder_of(tmp_path / "c", "good/1.png", "dent/1.png", "ground_truth/dent/1_mask.png")
    fields = {"masks": {"all": "ground_truth"}}
    assert manifest_of(alone)["layers"] == [layer("anomalies", "anomaly-detection", "image-folder", {"all": "."}, **fields)]


@pytest.mark.parametrize(
    "images",
    [
        ("1.jpg", "2.jpg"),
        ("a/1.jpg", "a/2.jpg"),
        ("train/1.jpg", "val/2.jpg"),
        ("1.jpg", "a/2.jpg"),
        ("train/x/1.jpg", "val/x/2.jpg"),
    ],
)
def test_images_alone_are_for_self_supervised_heads(tmp_path: Path, images: tuple[str, ...]) -> None:
    folder = folder_of(tmp_path, *images).text("readme.md", "")
    assert manifest_of(folder)["layers"] == []
    assert "not used: readme.md" in recognised(folder).describe(), "it might be annotations that are not recognised"


def test_images_alone_can_be_learnt_from_without_labels(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"{number}.jpg" for number in range(20)))
    dataset = folder.open({"name": "all", "autoencoding": {}})
    assert len(dataset.train) + len(dataset.val) == 20
    with pytest.raises(FatalError, match="the dataset has no layer to make heads for"):
        folder.open()


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        (("images/1.jpg", "masks/1.png"), "images, masks in .: folders of classes, or of images and of maps that belong to them"),
        (("train/images/1.jpg", "train/masks/1.png", "val/images/2.jpg"), "folders of classes, or of images and of maps"),
        (("train/x/1.jpg", "train/y/1.jpg", "val/1.jpg"), "images in folders of classes in train, and in none in val"),
    ],
)
def test_folders_that_may_be_something_else_are_refused(tmp_path: Path, images: tuple[str, ...], complaint: str) -> None:
    assert complaint in complaint_of(folder_of(tmp_path, *images))


MASK = np.array([[0, 0], [2, 255]], np.uint8)


def checked(folder: DatasetFolder) -> Report:
    return check_dataset(folder.root, "dataset", True)


def test_a_check_suggests_to_read_masks_that_lie_beside_images(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path)
    for number in range(20):
        folder.image(f"images/{number}.jpg", np.zeros((2, 2, 3), np.uint8)).image(f"masks/{number}.png", MASK)
    report = checked(folder)
    assert report.suggested
    assert report.manifest == Manifest.model_validate(
        {
            "version": 1,
            "images": "images",
            "layers": [
                layer(
                    *("masks", "semantic-segmentation", "mask-png"),
                    {"all": "masks"},
                    classes={0: "value 0 (edit)", 2: "value 2 (edit)", 255: "value 255 (edit)"},
                )
            ],
        }
    )
    assert report.layers[0].classes["value 255 (edit)"]["train"] > 0, "it can be read as it is"
    assert report.notes == [
        "layer 'masks': the names of its classes are placeholders, by pixel value: edit them, or name the value that is no class "
        "as `ignore`"
    ]
    (problem,) = report.problems
    assert problem.endswith("To train, make the one that is suggested here say what to read; docs/datasets.md has examples")
    assert "headrace dataset check" not in report.to_text()
    assert "headrace dataset check" in complaint_of(folder), "where a job ends, it is what helps"


@pytest.mark.parametrize(
    ("masks", "splits"),
    [
        ("masks/{split}/{name}.png", {"train": "masks/train", "val": "masks/val"}),
        ("{split}/masks/{name}.png", {"train": "train/masks", "val": "val/masks"}),
        ("Labels/{split}/deep/{name}.png", {"train": "Labels/train", "val": "Labels/val"}),
    ],
)
def test_masks_are_suggested_by_split_where_their_folders_are(tmp_path: Path, masks: str, splits: dict[str, str]) -> None:
    folder = DatasetFolder(tmp_path)
    for split in ("train", "val"):
        image = masks.format(split=split, name="1").replace("masks", "images").replace("Labels", "images")
        folder.image(image, np.zeros((2, 2, 3), np.uint8)).image(masks.format(split=split, name="1"), MASK)
    (suggested,) = suggestion_of(folder).layers
    assert suggested.splits == splits
    report = checked(folder)
    assert len(report.problems) == 1, "that there is no dataset.json"
    assert {split: found.images for split, found in report.layers[0].splits.items()} == {"train": 1, "val": 1}


def test_masks_that_cannot_be_looked_into_have_placeholders_and_depth_has_no_classes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.png").text("masks/1.png", "no image").image("depth/1.png", mode="L")
    depth, masks = suggestion_of(folder).layers
    assert (depth.task, depth.format, depth.splits) == (Task.DEPTH_ESTIMATION, "depth", {"all": "depth"})
    assert masks.classes == {0: "value 0 (edit)", 1: "value 1 (edit)"}


def test_masks_of_colours_are_said_to_be_no_masks_yet(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.jpg", "masks/1.png")
    assert any(
        "masks/1.png for one has 3 channels" in note and "one channel of class ids" in note for note in checked(folder).notes
    )


@pytest.mark.parametrize("mask", ["masks/2.png", "masks/1.jpg", "masks/1_mask.png"])
def test_nothing_is_suggested_where_maps_belong_to_no_image(tmp_path: Path, mask: str) -> None:
    folder = folder_of(tmp_path, "images/1.jpg", mask)
    with pytest.raises(UnclearError) as caught:
        recognised(folder)
    assert caught.value.suggestion is None
    report = checked(folder)
    assert report.manifest is None
    assert report.problems[0].endswith("To train, write a dataset.json that says what to read; docs/datasets.md has examples")


def test_maps_of_very_many_values_have_no_classes_to_suggest(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "images/1.png").image("masks/1.png", np.arange(256, dtype=np.uint8).reshape(16, 16))
    with pytest.raises(UnclearError) as caught:
        recognised(folder)
    assert caught.value.suggestion is None


def test_several_layouts_are_ambiguous_and_all_of_them_are_said(tmp_path: Path) -> None:
    folder = yolo_folder(tmp_path, "0 .5 .5 .1 .1").json("annotations/instances_train.json", coco(["1.jpg"], [BOX]))
    folder.text("a.csv", "image,label\n").text("b.csv", "image,label\n")
    complaint = complaint_of(folder)
    for seen in ("COCO's JSON (annotations/instances_train.json)", "YOLO (data.yaml, labels/train, labels/val)", "the table b.csv"):
        assert seen in complaint
    assert "Write a dataset.json that says what to read: docs/datasets.md has examples" in complaint


def test_of_several_layouts_a_dataset_json_with_all_of_them_is_suggested(tmp_path: Path) -> None:
    folder = yolo_folder(tmp_path, "0 .5 .5 .1 .1").json("annotations/objects_train.json", coco(["1.jpg"], [BOX]))
    folder.image("masks/train/1.png").text("more/data.yaml", "train: train.txt\nnames: [dog]")
    suggestion = suggestion_of(folder)
    assert [(layer.name, layer.format) for layer in suggestion.layers] == [("objects", "coco"), ("objects-2", "yolo")]
    assert suggestion.images == "images", "what lies in masks is none"


def test_without_an_image_it_says_what_is_there(tmp_path: Path) -> None:
    assert "no image in the dataset: check where it is; it has: readme.md" in complaint_of(
        DatasetFolder(tmp_path).text("readme.md", "")
    )
    assert "there is no such folder" in complaint_of_names(tmp_path / "gone")


def complaint_of_names(root: Path) -> str:
    with pytest.raises(FatalError) as caught:
        recognise(root, [])
    return caught.value.message


def test_hidden_files_are_not_looked_at(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "1.jpg", "2.jpg").json(".cache/instances_train.json", coco(["1.jpg"], [BOX]))
    assert recognise(tmp_path, ["1.jpg", "2.jpg", ".cache/instances_train.json"]).manifest.layers == []
    assert manifest_of(folder)["layers"] == []


def test_a_recognised_dataset_is_opened(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, *(f"cat/{number}.jpg" for number in range(9)), *(f"dog/{number}.jpg" for number in range(9)))
    dataset = folder.open()
    assert dataset.heads[0].labels.classes == ("cat", "dog")
    assert len(dataset.train) + len(dataset.val) == 18
