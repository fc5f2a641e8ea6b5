"""YOLO text files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_testing.dataset_folder import HEIGHT, WIDTH, DatasetFolder, yolo_dataset
from headrace_trainer.data.annotations import KeypointList
from headrace_trainer.data.formats.yolo import split_rings
from headrace_trainer.data.splits.split import Split
from headrace_trainer.data.targets import Boxes, Instances, Quads, Target
from headrace_trainer.data.targets.geometry import letterbox


def render(split: Split, image: str, layer: str = "things") -> Target:
    """The target at the image's own size."""
    size = (HEIGHT, WIDTH)
    return split.annotations[layer][image].render(letterbox(size, size))


def test_boxes_are_fractions_of_the_image(tmp_path: Path) -> None:
    train = yolo_dataset(tmp_path, {"a": "1 0.5 0.5 0.5 0.25\n\n0 0.25 0.25 0.5 0.5\n"}).open().train
    target = render(train, "images/train/a.png")
    assert isinstance(target, Boxes)
    np.testing.assert_allclose(target.boxes, [[15, 15, 45, 25], [0, 0, 30, 20]])
    assert target.classes.tolist() == [1, 0]


def test_an_empty_file_is_a_negative_and_no_file_is_unlabelled(tmp_path: Path) -> None:
    folder = yolo_dataset(tmp_path, {"a": "0 0.5 0.5 0.5 0.5", "negative": ""}).image("images/train/unlabelled.png")
    train = folder.open().train
    assert train.images == ("images/train/a.png", "images/train/negative.png")
    assert train.annotations["things"]["images/train/negative.png"].objects == 0


def test_boxes_beyond_the_image_are_clipped_and_those_without_area_dropped_and_counted(tmp_path: Path) -> None:
    labels = "0 0.0 0.5 0.5 0.5\n0 0.5 0.5 0.0 0.5\n0 1.5 0.5 0.2 0.2\n0 0.5 0.5 1.0 1.0\n"
    dataset = yolo_dataset(tmp_path, {"a": labels}).open()
    target = render(dataset.train, "images/train/a.png")
    assert isinstance(target, Boxes)
    np.testing.assert_allclose(target.boxes, [[0, 10, 15, 30], [0, 0, WIDTH, HEIGHT]])
    assert "1 boxes clipped to their image" in dataset.describe()
    assert "2 boxes dropped: no area inside their image" in dataset.describe()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("0 0.5 0.5 0.5", "expected a class and 4 numbers (cx cy w h); found 3 numbers"),
        ("cat 0.5 0.5 0.5 0.5", "expected numbers; found 'cat 0.5 0.5 0.5 0.5'"),
        ("0.5 0.5 0.5 0.5 0.5", "expected a whole number as class; found 0.5"),
        ("nan 0.5 0.5 0.5 0.5", "expected a whole number as class; found nan"),
        ("0 320 240 50 50", "expected fractions of the image's sides, 0 to 1"),
        ("0 nan 0.5 0.5 0.5", "expected fractions of the image's sides, 0 to 1"),
        ("0 0.5 0.5 -0.5 0.5", "expected width and height of at least 0; found -0.5 and 0.5"),
        ("2 0.5 0.5 0.5 0.5", "class 2 is not in the class table, which has 2 classes with ids 0 to 1"),
        ("-1 0.5 0.5 0.5 0.5", "class -1 is not in the class table"),
    ],
)
def test_a_broken_line_is_named_by_file_and_number(tmp_path: Path, line: str, complaint: str) -> None:
    folder = yolo_dataset(tmp_path, {"a": "0 0.5 0.5 0.5 0.5", "broken": f"0 0.5 0.5 0.5 0.5\n{line}\n"})
    train = folder.open(max_bad_images=1).train
    assert train.images == ("images/train/a.png",)
    assert len(folder.said) == 1
    assert f"labels/train/broken.txt:2: {complaint}" in folder.said[0]


def test_labels_that_are_not_text_and_labels_without_image_are_counted(tmp_path: Path) -> None:
    folder = yolo_dataset(tmp_path, {"a": "", "binary": ""}).text("labels/train/orphan.txt", "0 0.5 0.5 0.5 0.5")
    folder.path("labels/train/binary.txt").write_bytes(b"\xff\xfe\x00")
    assert folder.open(max_bad_images=2).train.images == ("images/train/a.png",)
    assert any("labels/train/orphan.txt: no image" in line for line in folder.said)
    with pytest.raises(FatalError, match=r"2 bad images, more than dataset\.maxBadImages = 1: .*not a text file") as caught:
        folder.open(max_bad_images=1)
    assert caught.value.reason is Reason.TOO_MANY_BAD_IMAGES


def test_images_with_the_same_stem_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path)
    for split in ("train", "val"):
        folder.image(f"images/{split}/1.png").text(f"labels/{split}/1.txt", "")
    folder.layer("things", "object-detection", "yolo", {"train": "labels/train", "val": "labels/val"}, classes=["cat"])
    dataset = folder.open()
    assert (dataset.train.images, dataset.val.images) == (("images/train/1.png",), ("images/val/1.png",))


def test_a_label_that_fits_several_images_equally_is_counted(tmp_path: Path) -> None:
    folder = yolo_dataset(tmp_path, {"a": ""}).image("images/train/x/1.png").image("images/train/y/1.png")
    folder.text("labels/train/1.txt", "")
    folder.open(max_bad_images=1)
    assert any("several images could be" in line and "images/train/x/1.png, images/train/y/1.png" in line for line in folder.said)


def test_a_second_label_file_for_an_image_is_counted(tmp_path: Path) -> None:
    folder = yolo_dataset(tmp_path, {"a": "0 0.5 0.5 0.5 0.5"}).text("labels/train/more/a.txt", "0 0.5 0.5 0.5 0.5")
    folder.open(max_bad_images=1)
    assert folder.said == ["skipped labels/train/more/a.txt: 'images/train/a.png' already has annotations from labels/train/a.txt"]


def polygon_dataset(root: Path, line: str) -> DatasetFolder:
    folder = yolo_dataset(root, {"a": line})
    folder.layers[0]["task"] = "instance-segmentation"
    return folder.json("dataset.json", {"version": 1, "layers": folder.layers})


SQUARE = "0.1 0.1 0.3 0.1 0.3 0.4 0.1 0.4"
OTHER = "0.6 0.5 0.9 0.5 0.9 0.9 0.6 0.9"


def test_a_polygon_is_a_mask_and_in_a_layer_of_boxes_its_box(tmp_path: Path) -> None:
    target = render(polygon_dataset(tmp_path / "masks", f"0 {SQUARE}").open().train, "images/train/a.png")
    assert isinstance(target, Instances)
    want = np.zeros((HEIGHT, WIDTH), np.bool_)
    want[4:16, 6:18] = True
    np.testing.assert_array_equal(target.masks[0], want)
    boxes = render(yolo_dataset(tmp_path / "boxes", {"a": f"0 {SQUARE}"}).open().train, "images/train/a.png")
    assert isinstance(boxes, Boxes)
    np.testing.assert_allclose(boxes.boxes, [[6, 4, 18, 16]], atol=1e-4)


def test_several_rings_on_a_line_are_one_instance_without_bridges(tmp_path: Path) -> None:
    line = f"1 {SQUARE} 0.1 0.1 {OTHER} 0.6 0.5"
    target = render(polygon_dataset(tmp_path, line).open().train, "images/train/a.png")
    assert isinstance(target, Instances)
    want = np.zeros((HEIGHT, WIDTH), np.bool_)
    want[4:16, 6:18] = True
    want[20:36, 36:54] = True
    np.testing.assert_array_equal(target.masks, want[None])


def test_rings_end_where_their_first_point_is_repeated() -> None:
    a, b, c, d = [0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]

    def points(*corners: list[float]) -> np.ndarray:
        return np.array(corners, np.float32)

    assert [len(ring) for ring in split_rings(points(a, b, c, d))] == [4], "not closed: all points"
    assert [len(ring) for ring in split_rings(points(a, b, c, a))] == [3], "closed: the repeated point is left out"
    assert [len(ring) for ring in split_rings(points(a, b, c, a, d, c, b, d))] == [3, 3]
    assert [len(ring) for ring in split_rings(points(a, a, b, c, d, b))] == [3], "a doubled point is not a ring"
    assert split_rings(points(a, b, a, b, a, b)) == ()


def test_a_polygon_of_two_points_is_broken(tmp_path: Path) -> None:
    folder = polygon_dataset(tmp_path, "0 0.1 0.1 0.2 0.2")
    with pytest.raises(FatalError, match=r"labels/train/a\.txt:1: expected a class and at least 3 points"):
        folder.open()


def test_a_layer_without_classes_or_labels_says_what_is_missing(tmp_path: Path) -> None:
    folder = yolo_dataset(tmp_path, {"a": ""})
    folder.layers[0]["splits"]["train"] = "labels/trian"
    folder.json("dataset.json", {"version": 1, "layers": folder.layers})
    with pytest.raises(FatalError, match=r"splits\.train: expected a folder at 'labels/trian'.*'labels' has: train/, val/"):
        folder.open()
    folder.layers[0] |= {"splits": {"train": "labels/train", "val": "labels/val"}, "classes": None}
    folder.json("dataset.json", {"version": 1, "layers": folder.layers})
    with pytest.raises(FatalError, match=r"layer 'things': classes: format yolo needs class names"):
        folder.open()


def test_class_names_may_be_lines_of_a_text_file(tmp_path: Path) -> None:
    folder = yolo_dataset(tmp_path, {"a": ""}).text("labels/train/classes.txt", "cat\nbig dog: 2\n\n")
    folder.layers[0]["classes"] = "labels/train/classes.txt"
    assert folder.json("dataset.json", {"version": 1, "layers": folder.layers}).open().heads[0].labels.classes == (
        "cat",
        "big dog: 2",
    )


@pytest.mark.parametrize(
    ("content", "want"),
    [("names: [cat, dog]", ("cat", "dog")), ("names: {3: dog, 1: cat}", ("cat", "dog")), ('{"classes": {"0": "cat"}}', ("cat",))],
)
def test_class_names_may_be_in_a_file(tmp_path: Path, content: str, want: tuple[str, ...]) -> None:
    folder = yolo_dataset(tmp_path, {"a": ""}).text("data.yaml", content)
    folder.layers[0]["classes"] = "data.yaml"
    assert folder.json("dataset.json", {"version": 1, "layers": folder.layers}).open().heads[0].labels.classes == want


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("nc: 2", "has no 'names'; it has: nc"),
        ("[a", "is neither YAML, JSON"),
        ("names: 3", "expected a list of names"),
        ("names: {a: b}", "expected whole numbers as ids"),
    ],
)
def test_a_file_without_class_names_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    folder = yolo_dataset(tmp_path, {"a": ""}).text("data.yaml", content)
    folder.layers[0]["classes"] = "data.yaml"
    with pytest.raises(FatalError, match=complaint):
        folder.json("dataset.json", {"version": 1, "layers": folder.layers}).open()


POSE = "kpt_shape: [2, 3]\nflip_idx: [1, 0]\nnames: {0: cat}\n"


def yolo_task(root: Path, task: str, text: str, data: str = POSE, **fields: Any) -> DatasetFolder:
    folder = yolo_dataset(root, {"a": text}).text("data.yaml", data)
    folder.layers[0] |= {"task": task, "classes": "data.yaml", **fields}
    return folder.json("dataset.json", {"version": 1, "layers": folder.layers})


def keypoints_of(folder: DatasetFolder) -> KeypointList:
    annotation = folder.open().train.annotations["things"]["images/train/a.png"]
    assert isinstance(annotation, KeypointList)
    return annotation


@pytest.mark.parametrize(
    ("line", "visibility"),
    [("0 0.5 0.5 0.4 0.2 0.4 0.5 2 0.6 0.45 1", [2, 1]), ("0 0.5 0.5 0.4 0.2 0.4 0.5 0.6 0.45", [2, 2])],
)
def test_keypoints_have_two_or_three_numbers(tmp_path: Path, line: str, visibility: list[int]) -> None:
    target = keypoints_of(yolo_task(tmp_path, "keypoint-detection", line)).render(letterbox((HEIGHT, WIDTH), (HEIGHT, WIDTH)))
    np.testing.assert_allclose(target.boxes, [[0.3 * WIDTH, 0.4 * HEIGHT, 0.7 * WIDTH, 0.6 * HEIGHT]], rtol=1e-5)
    np.testing.assert_allclose(target.keypoints[0], [[0.4 * WIDTH, 0.5 * HEIGHT], [0.6 * WIDTH, 0.45 * HEIGHT]], rtol=1e-5)
    assert target.visibility.tolist() == [visibility]
    np.testing.assert_allclose(target.area, [0.53 * 0.4 * 0.2 * WIDTH * HEIGHT], rtol=1e-5)


def test_keypoints_that_are_unset_or_outside_are_not_labelled(tmp_path: Path) -> None:
    folder = yolo_task(tmp_path, "keypoint-detection", "0 0.5 0.5 0.4 0.2 0 0 2 0.6 1.2 2\n0 0.5 0.5 0.4 0.2 -1 0.3 2 0.6 0.5 0\n")
    assert keypoints_of(folder).visibility.tolist() == [[0, 0], [0, 0]]
    said = folder.open().describe()
    assert "1 keypoints outside their image treated as not labelled" in said
    assert "2 objects without a labelled keypoint, used only for boxes" in said
    assert any("can learn only boxes" in line for line in folder.said)


def test_names_and_mirroring_come_from_data_yaml_or_dataset_json(tmp_path: Path) -> None:
    line = "0 0.5 0.5 0.4 0.2 0.4 0.5 2 0.6 0.45 1"
    table = keypoints_of(yolo_task(tmp_path / "a", "keypoint-detection", line)).table
    assert (table.names, table.mirrored) == (("0", "1"), (1, 0))
    named = POSE + "kpt_names: {0: [left eye, right eye]}\n"
    labels = yolo_task(tmp_path / "b", "keypoint-detection", line, named).open().heads[0].labels
    assert (labels.keypoints, labels.mirrored) == (("left eye", "right eye"), (1, 0))
    given = yolo_task(tmp_path / "c", "keypoint-detection", line, keypoints=["top", "end"], mirrored=[0, 1], skeleton=[[0, 1]])
    labels = given.open().heads[0].labels
    assert (labels.keypoints, labels.mirrored, labels.skeleton) == (("top", "end"), (0, 1), ((0, 1),))


@pytest.mark.parametrize(
    ("line", "data", "complaint"),
    [
        ("0 0.5 0.5 0.4 0.2 0.1 0.2 1", POSE, r"a\.txt:1: expected a class, a box and 2 keypoints of 2 or 3 numbers; found 7"),
        ("0 0.5 0.5 0.4 0.2 0.4 0.5 1.5 0.6 0.45 1", POSE, r"a\.txt:1: expected 0, 1 or 2 as visibility"),
        ("0 0.5 0.5 0.4 0.2 4 5 1 6 4 1", POSE, r"a\.txt:1: expected fractions of the image's sides"),
        ("", "names: {0: cat}", r"layer 'things': keypoints: expected the keypoints' names in order"),
        ("", "names: {0: cat}\nkpt_shape: many", r"layer 'things': data\.yaml: expected kpt_shape \[number, 2 or 3\]"),
        ("", POSE + "kpt_names: [a, b]", r"layer 'things': data\.yaml: expected kpt_shape"),
        ("", "names: {0: cat}\nkpt_shape: [2, 3]\nflip_idx: [1, 1]", "mirrored: expected 2 indices"),
    ],
)
def test_broken_keypoints_are_named(tmp_path: Path, line: str, data: str, complaint: str) -> None:
    with pytest.raises(FatalError, match=complaint):
        yolo_task(tmp_path, "keypoint-detection", line, data).open()


def test_oriented_boxes_keep_their_corners(tmp_path: Path) -> None:
    folder = yolo_task(tmp_path, "quadrilateral-detection", "0 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5\n", "names: [cat]")
    target = folder.open().train.annotations["things"]["images/train/a.png"].render(letterbox((HEIGHT, WIDTH), (HEIGHT, WIDTH)))
    assert isinstance(target, Quads)
    want = np.array([[0.5, 0.1], [0.9, 0.5], [0.5, 0.9], [0.1, 0.5]]) * (WIDTH, HEIGHT)
    np.testing.assert_allclose(target.quads[0], want, rtol=1e-5)


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.4 0.2", "0 0.1 0.1 0.9 0.1 0.9 0.9"])
def test_an_oriented_box_has_four_corners(tmp_path: Path, line: str) -> None:
    with pytest.raises(FatalError, match=r"a\.txt:1: expected a class and 4 corners \(x y\); found [46] numbers"):
        yolo_task(tmp_path, "quadrilateral-detection", line, "names: [cat]").open()


def test_polygons_outside_the_image_are_dropped_and_counted(tmp_path: Path) -> None:
    text = "0 1.1 0.1 1.5 0.1 1.5 0.5\n0 0.5 0.5 1.5 0.5 1.5 0.9\n"
    folder = yolo_task(tmp_path, "instance-segmentation", text, "names: [cat]")
    assert folder.open().train.annotations["things"]["images/train/a.png"].objects == 1
    assert "1 instances dropped: no mask inside their image" in folder.open().describe()


def test_oriented_boxes_outside_the_image_are_dropped_and_counted(tmp_path: Path) -> None:
    text = "0 1.1 0.1 1.5 0.1 1.5 0.5 1.1 0.5\n0 0.9 0.1 1.5 0.1 1.5 0.5 0.9 0.5\n"
    folder = yolo_task(tmp_path, "quadrilateral-detection", text, "names: [cat]")
    assert folder.open().train.annotations["things"]["images/train/a.png"].objects == 1
    assert "1 quadrilaterals dropped: outside their image" in folder.open().describe()
