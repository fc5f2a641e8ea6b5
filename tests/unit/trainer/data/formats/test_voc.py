"""Pascal VOC's XML."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_api.errors import FatalError
from headrace_testing.dataset_folder import HEIGHT, WIDTH, DatasetFolder
from headrace_trainer.data.annotations import BoxList
from headrace_trainer.data.targets import Boxes
from headrace_trainer.data.targets.geometry import letterbox

SIZE = (HEIGHT, WIDTH)
LISTS = {"train": "ImageSets/Main/train.txt", "val": "ImageSets/Main/val.txt"}


def voc_object(name: str, box: tuple[Any, ...], **fields: Any) -> str:
    corners = "".join(f"<{corner}>{value}</{corner}>" for corner, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    more = "".join(f"<{field}>{value}</{field}>" for field, value in fields.items())
    return f"<object><name>{name}</name>{more}<bndbox>{corners}</bndbox></object>"


def voc_file(*objects: str, size: tuple[int, int] = SIZE) -> str:
    stated = f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    return f"<annotation>{stated}{''.join(objects)}</annotation>"


def voc_dataset(root: Path, train: str, **fields: Any) -> DatasetFolder:
    folder = DatasetFolder(root).image("JPEGImages/a.jpg").image("JPEGImages/v.jpg")
    folder.text("Annotations/a.xml", train).text("Annotations/v.xml", voc_file(voc_object("cat", (1, 1, 5, 5))))
    folder.text("ImageSets/Main/train.txt", "a\n").text("ImageSets/Main/val.txt", "v\n")
    folder.layer("objects", "object-detection", "voc", LISTS, **fields)
    return folder.json("dataset.json", {"version": 1, "images": "JPEGImages", "layers": folder.layers})


def boxes_of(folder: DatasetFolder) -> BoxList:
    annotation = folder.open().train.annotations["objects"]["JPEGImages/a.jpg"]
    assert isinstance(annotation, BoxList)
    return annotation


def test_corners_that_count_from_one_become_half_open_pixels(tmp_path: Path) -> None:
    whole = voc_object("dog", (1, 1, WIDTH, HEIGHT))
    folder = voc_dataset(tmp_path, voc_file(whole, voc_object("cat", (11, 6, 20, 10))))
    boxes = boxes_of(folder)
    np.testing.assert_array_equal(boxes.boxes, [[0, 0, WIDTH, HEIGHT], [10, 5, 20, 10]])
    assert folder.open().heads[0].labels.classes == ("cat", "dog"), "names of all splits, sorted"
    assert boxes.classes.tolist() == [1, 0]
    assert isinstance(boxes.render(letterbox(SIZE, SIZE)), Boxes)


def test_a_click_without_a_drag_is_dropped_and_counted(tmp_path: Path) -> None:
    folder = voc_dataset(tmp_path, voc_file(voc_object("cat", (9, 9, 9, 9)), voc_object("cat", (9, 9, 9, 20))))
    assert boxes_of(folder).objects == 0
    assert "2 boxes dropped: no area inside their image" in folder.open().describe()


def test_difficult_objects_are_crowds_and_truncated_ones_are_not(tmp_path: Path) -> None:
    objects = [voc_object("cat", (1, 1, 9, 9), difficult=1), voc_object("cat", (1, 1, 9, 9), difficult=0, truncated=1)]
    assert boxes_of(voc_dataset(tmp_path, voc_file(*objects))).crowd.tolist() == [True, False]


def test_boxes_are_clipped_to_the_stated_size_unless_it_is_zero(tmp_path: Path) -> None:
    far = voc_object("cat", (51, 31, WIDTH + 20, HEIGHT + 20))
    np.testing.assert_array_equal(boxes_of(voc_dataset(tmp_path / "a", voc_file(far))).boxes, [[50, 30, WIDTH, HEIGHT]])
    boxes = boxes_of(voc_dataset(tmp_path / "b", voc_file(far, size=(0, 0))))
    assert boxes.stated_size() is None
    np.testing.assert_array_equal(boxes.boxes, [[50, 30, WIDTH + 20, HEIGHT + 20]])


def test_a_split_may_be_a_folder_of_xml_files(tmp_path: Path) -> None:
    folder = voc_dataset(tmp_path, voc_file(voc_object("cat", (1, 1, 9, 9))))
    folder.layers[0]["splits"] = {"all": "Annotations"}
    dataset = folder.json("dataset.json", {"version": 1, "images": "JPEGImages", "layers": folder.layers}).open()
    assert len(dataset.train) == len(dataset.val) == 1


def test_an_image_without_objects_is_a_negative(tmp_path: Path) -> None:
    assert boxes_of(voc_dataset(tmp_path, voc_file())).objects == 0


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("<annotation>", r"Annotations/a\.xml: not XML: "),
        (voc_file("<object><bndbox/></object>"), r"Annotations/a\.xml: object 1: expected a name"),
        (voc_file(voc_object("cat", (1, 2, "x", 4))), r"a\.xml: object 1: expected bndbox with xmin, ymin, xmax, ymax as numbers"),
        (voc_file("<object><name>cat</name></object>"), "expected bndbox with xmin"),
        (voc_file(voc_object("cat", (9, 1, 2, 4))), "expected finite numbers with xmin up to xmax"),
        (voc_file(voc_object("cat", (1, 1, "inf", 4))), "expected finite numbers with xmin up to xmax"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(FatalError, match=complaint):
        voc_dataset(tmp_path, content).open()


def test_a_name_that_is_not_a_class_is_named(tmp_path: Path) -> None:
    folder = voc_dataset(tmp_path, voc_file(voc_object("bird", (1, 1, 5, 5))), classes=["cat", "dog"])
    with pytest.raises(FatalError, match=r"a\.xml: 'bird' is not in the class table, which has: cat, dog"):
        folder.open()


def test_missing_files_in_lists_are_counted_and_empty_lists_refused(tmp_path: Path) -> None:
    folder = voc_dataset(tmp_path, voc_file(voc_object("cat", (1, 1, 5, 5)))).image("JPEGImages/b.jpg")
    folder.text("ImageSets/Main/train.txt", "a\nb\n").open(max_bad_images=1)
    assert folder.said == ["skipped JPEGImages/b.jpg: no file Annotations/b.xml"]
    with pytest.raises(FatalError, match=r"ImageSets/Main/train\.txt: expected the name of an image on each line; the file"):
        folder.text("ImageSets/Main/train.txt", "\n").open()


def test_lists_of_one_class_have_a_second_column(tmp_path: Path) -> None:
    folder = voc_dataset(tmp_path, voc_file(voc_object("cat", (1, 1, 5, 5)))).text("ImageSets/Main/train.txt", "a -1\n")
    assert boxes_of(folder).objects == 1


def test_a_list_outside_imagesets_is_refused(tmp_path: Path) -> None:
    folder = voc_dataset(tmp_path, voc_file()).text("train.txt", "a\n")
    folder.layers[0]["splits"] = {"all": "train.txt"}
    with pytest.raises(FatalError, match="expected a list in a folder 'ImageSets', with 'Annotations' beside it"):
        folder.json("dataset.json", {"version": 1, "images": "JPEGImages", "layers": folder.layers}).open()


def test_files_without_any_object_need_classes(tmp_path: Path) -> None:
    folder = voc_dataset(tmp_path, voc_file()).text("Annotations/v.xml", voc_file())
    with pytest.raises(FatalError, match=r"no object in its files and no 'classes' in dataset\.json"):
        folder.open()
