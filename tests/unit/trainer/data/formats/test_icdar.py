"""ICDAR's text files of quadrilaterals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_api.errors import FatalError
from headrace_testing.dataset_folder import DatasetFolder
from headrace_trainer.data.annotations import QuadList

LINE = "10,5,30,6,29,15,9,14"


def icdar_dataset(root: Path, content: str, prefix: str = "gt_", **fields: Any) -> DatasetFolder:
    folder = DatasetFolder(root).image("images/img_1.jpg").image("images/img_2.jpg")
    folder.text(f"gt/train/{prefix}img_1.txt", content).text(f"gt/val/{prefix}img_2.txt", "")
    return folder.layer("texts", "quadrilateral-detection", "icdar", {"train": "gt/train", "val": "gt/val"}, **fields)


def quads_of(folder: DatasetFolder) -> QuadList:
    annotation = folder.open().train.annotations["texts"]["images/img_1.jpg"]
    assert isinstance(annotation, QuadList)
    return annotation


@pytest.mark.parametrize("prefix", ["gt_", ""])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_corners_and_illegible_texts(tmp_path: Path, prefix: str, mark: str) -> None:
    content = f"{mark}{LINE},Hello, world,\r\n\r\n1,1,5,1,5,5,1,5,###\r\n7,7,9,7,9,9,7,9\r\n"
    quads = quads_of(icdar_dataset(tmp_path, content, prefix))
    np.testing.assert_array_equal(quads.quads[0], [[10, 5], [30, 6], [29, 15], [9, 14]])
    assert quads.crowd.tolist() == [False, True, False]
    assert quads.classes.tolist() == [0, 0, 0]


def test_there_is_one_class(tmp_path: Path) -> None:
    assert icdar_dataset(tmp_path / "a", LINE + ",x").open().heads[0].labels.classes == ("text",)
    assert icdar_dataset(tmp_path / "b", LINE + ",x", classes=["word"]).open().heads[0].labels.classes == ("word",)
    with pytest.raises(FatalError, match=r"format icdar has one class, but dataset\.json names 2: word, line"):
        icdar_dataset(tmp_path / "c", LINE + ",x", classes=["word", "line"]).open()


def test_corners_keep_their_order_and_go_clockwise(tmp_path: Path) -> None:
    """Text that is upside down begins at the lower right; anticlockwise text is reversed, keeping its first corner."""
    upside_down, anticlockwise = "30,15,10,15,10,5,30,5,a", "10,5,10,15,30,15,30,5,b"
    folder = icdar_dataset(tmp_path, f"{upside_down}\n{anticlockwise}\n")
    np.testing.assert_array_equal(
        quads_of(folder).quads, [[[30, 15], [10, 15], [10, 5], [30, 5]], [[10, 5], [30, 5], [30, 15], [10, 15]]]
    )
    assert "1 quadrilaterals with anticlockwise corners reversed" in folder.open().describe()


def test_crossing_sides_and_no_area_are_dropped_and_counted(tmp_path: Path) -> None:
    folder = icdar_dataset(tmp_path, "1,1,9,9,9,1,1,9,x\n1,1,5,5,9,9,1,1,x\n" + LINE + ",x\n")
    assert quads_of(folder).objects == 1
    said = folder.open().describe()
    assert "1 quadrilaterals dropped: their sides cross" in said
    assert "1 quadrilaterals dropped: no area" in said


@pytest.mark.parametrize("line", ["1,2,3", "a,5,30,6,29,15,9,14,x", "nan,5,30,6,29,15,9,14,x", "1 2 3 4 5 6 7 8 x"])
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    complaint = r"images/img_1\.jpg: gt/train/gt_img_1\.txt:2: expected x1,y1,…,x4,y4,text with finite numbers; found"
    with pytest.raises(FatalError, match=complaint):
        icdar_dataset(tmp_path, f"{LINE},x\n{line}\n").open()
