"""Labels in CSV and JSON lines, which hold the same data in two ways."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_api.errors import FatalError
from headrace_testing.dataset_folder import HEIGHT, WIDTH, DatasetFolder
from headrace_trainer.data.annotations import QuadList
from headrace_trainer.data.dataset import Dataset
from headrace_trainer.data.targets import Anomaly, Identity, Label, Labels, Target, Text, Values
from headrace_trainer.data.targets.geometry import letterbox

SIZE = (HEIGHT, WIDTH)
Rows = Sequence[dict[str, Any]]


def as_csv(rows: Rows, delimiter: str = ",") -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.DictWriter(text, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: ";".join(cell) if isinstance(cell, list) else cell for column, cell in row.items()} for row in rows)
    return text.getvalue()


def as_jsonl(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table_dataset(
    root: Path, task: str, content: str, format_: str = "csv", val: str | None = None, **fields: Any
) -> DatasetFolder:
    """Images a.png, b.png and c.png to train on, v.png to score on; by default `val` is `content` for v.png."""
    folder = DatasetFolder(root)
    for name in "abcv":
        folder.image(f"images/{name}.png")
    first = content.splitlines()
    val = "\n".join(first[:2] if format_ == "csv" else first[:1]).replace("a.png", "v.png") + "\n" if val is None else val
    folder.text(f"train.{format_}", content).text(f"val.{format_}", val)
    return folder.layer("labels", task, format_, {"train": f"train.{format_}", "val": f"val.{format_}"}, **fields)


def rendered(dataset: Dataset, image: str = "a") -> Target:
    return dataset.train.annotations["labels"][f"images/{image}.png"].render(letterbox(SIZE, SIZE))


@pytest.fixture(params=["csv", "jsonl"])
def format_(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def write(rows: Rows, format_: str) -> str:
    return as_csv(rows) if format_ == "csv" else as_jsonl(rows)


def test_one_class_per_image(tmp_path: Path, format_: str) -> None:
    rows = [{"image": "a.png", "label": "dog"}, {"image": "images/b.png", "label": "cat"}, {"image": "c", "label": " dog "}]
    dataset = table_dataset(tmp_path, "multiclass-classification", write(rows, format_), format_).open()
    assert dataset.heads[0].labels.classes == ("cat", "dog")
    assert [rendered(dataset, image) for image in "abc"] == [Label(1), Label(0), Label(1)]


def test_whole_numbers_are_sorted_as_numbers(tmp_path: Path, format_: str) -> None:
    rows = [{"image": f"{image}.png", "label": label} for image, label in zip("abc", (10, 9, 2), strict=True)]
    dataset = table_dataset(tmp_path, "multiclass-classification", write(rows, format_), format_).open()
    assert dataset.heads[0].labels.classes == ("2", "9", "10")


@pytest.mark.parametrize("classes", [["cat", "dog", "bird"], {"0": "cat", "7": "dog"}])
def test_classes_in_dataset_json_match_by_name_or_id(tmp_path: Path, format_: str, classes: Any) -> None:
    rows = [{"image": "a.png", "label": "dog"}, {"image": "b.png", "label": 0}]
    dataset = table_dataset(tmp_path, "multiclass-classification", write(rows, format_), format_, classes=classes).open()
    assert [rendered(dataset, image) for image in "ab"] == [Label(1), Label(0)]
    folder = table_dataset(
        tmp_path / "x", "multiclass-classification", write([{"image": "a.png", "label": "cow"}], format_), format_, classes=classes
    )
    with pytest.raises(FatalError, match=rf"train\.{format_}:[12]: 'cow' is not in the class table, which has: cat, dog"):
        folder.open()


def test_any_number_of_classes_per_image(tmp_path: Path, format_: str) -> None:
    rows = [{"image": "a.png", "labels": ["dog", "cat"]}, {"image": "b.png", "labels": []}, {"image": "c.png", "labels": ["cow"]}]
    dataset = table_dataset(tmp_path, "multilabel-classification", write(rows, format_), format_).open()
    assert dataset.heads[0].labels.classes == ("cat", "cow", "dog")
    found = [rendered(dataset, image) for image in "abc"]
    assert all(isinstance(labels, Labels) for labels in found)
    assert [labels.labels.tolist() for labels in found if isinstance(labels, Labels)] == [
        [True, False, True],
        [False, False, False],
        [False, True, False],
    ]


def test_classes_may_be_columns_of_0_and_1(tmp_path: Path) -> None:
    rows = [{"image": "a.png", "sunny": 1, "wet": 0}, {"image": "b.png", "sunny": "false", "wet": "true"}]
    dataset = table_dataset(tmp_path, "multilabel-classification", as_csv(rows)).open()
    assert dataset.heads[0].labels.classes == ("sunny", "wet")
    found = rendered(dataset, "b")
    assert isinstance(found, Labels)
    assert found.labels.tolist() == [False, True]
    with pytest.raises(FatalError, match=r"images/a\.png: train\.csv:2: wet: expected true or false; found '-1'"):
        table_dataset(tmp_path / "x", "multilabel-classification", as_csv([{"image": "a.png", "wet": -1}])).open()
    with pytest.raises(FatalError, match=r"found none for 'dry' among: image, wet"):
        table_dataset(
            tmp_path / "y", "multilabel-classification", as_csv([{"image": "a.png", "wet": 1}]), classes=["wet", "dry"]
        ).open()


def test_identities(tmp_path: Path, format_: str) -> None:
    rows = [{"image": "a.png", "identity": "anna"}, {"image": "b.png", "identity": "bob"}]
    dataset = table_dataset(tmp_path, "metric-learning", write(rows, format_), format_).open()
    assert [rendered(dataset, image) for image in "ab"] == [Identity(0), Identity(1)]


def test_values_may_be_unknown(tmp_path: Path, format_: str) -> None:
    nothing: Any = "" if format_ == "csv" else None
    rows = [{"image": "a.png", "angle": 1.5, "count": nothing}, {"image": "b.png", "angle": -2, "count": 3}]
    folder = table_dataset(tmp_path, "regression", write(rows, format_), format_)
    dataset = folder.open()
    assert dataset.heads[0].labels.values == ("angle", "count")
    values = rendered(dataset)
    assert isinstance(values, Values)
    assert (values.values.tolist(), values.known.tolist()) == ([1.5, 0.0], [True, False])
    assert dataset.heads[0].labels.means == (-0.25, 3.0)
    chosen = table_dataset(tmp_path / "x", "regression", write(rows, format_), format_, values=["angle"]).open()
    assert chosen.heads[0].labels.values == ("angle",)


@pytest.mark.parametrize("cell", ["NA", "n/a", "nan", "null", "None", " "])
def test_what_programs_write_for_missing_values_is_unknown(tmp_path: Path, format_: str, cell: str) -> None:
    rows = [{"image": "a.png", "age": cell, "size": 1}, {"image": "b.png", "age": 3, "size": 1}]
    values = rendered(table_dataset(tmp_path, "regression", write(rows, format_), format_).open())
    assert isinstance(values, Values)
    assert (values.known.tolist(), values.values.tolist()) == ([False, True], [0, 1])


def test_a_row_without_any_value_leaves_its_image_unlabelled(tmp_path: Path, format_: str) -> None:
    nothing: Any = "" if format_ == "csv" else None
    rows = [{"image": "a.png", "age": 2, "size": nothing}, {"image": "b.png", "age": "NA", "size": nothing}]
    dataset = table_dataset(
        tmp_path, "regression", write([*rows, {"image": "c.png", "age": 1, "size": 3}], format_), format_
    ).open()
    assert dataset.train.images == ("images/a.png", "images/c.png")
    assert "1 rows without a value, whose images are not labelled" in dataset.describe()


@pytest.mark.parametrize("index", ["", "Unnamed: 0"])
def test_the_index_column_of_pandas_is_neither_a_value_nor_a_class(tmp_path: Path, index: str) -> None:
    rows = [{index: number, "image": f"{image}.png", "wet": number % 2} for number, image in enumerate("abc")]
    assert table_dataset(tmp_path / "a", "regression", as_csv(rows)).open().heads[0].labels.values == ("wet",)
    assert table_dataset(tmp_path / "b", "multilabel-classification", as_csv(rows)).open().heads[0].labels.classes == ("wet",)


@pytest.mark.parametrize(
    ("task", "column", "labels"),
    [
        ("multiclass-classification", "label", ["x", "y"]),
        ("metric-learning", "identity", ["anna", "bob"]),
        ("text-recognition", "text", ["12", "3"]),
        ("anomaly-detection", "anomalous", [False, False]),
    ],
)
def test_a_row_without_a_label_leaves_its_image_unlabelled(
    tmp_path: Path, format_: str, task: str, column: str, labels: list[Any]
) -> None:
    nothing: Any = "" if format_ == "csv" else None
    rows = [{"image": f"{image}.png", column: label} for image, label in zip("abc", [*labels, nothing], strict=True)]
    dataset = table_dataset(tmp_path, task, write(rows, format_), format_).open()
    assert dataset.train.images == ("images/a.png", "images/b.png")
    assert f"1 rows without a {column}, whose images are not labelled" in dataset.describe()


def test_empty_rows_are_ignored(tmp_path: Path) -> None:
    folder = table_dataset(tmp_path, "multiclass-classification", "image,label\na.png,x\nb.png,y\n,\n, \n")
    assert folder.open().train.images == ("images/a.png", "images/b.png")


def test_images_may_be_named_with_windows_paths(tmp_path: Path, format_: str) -> None:
    rows = [{"image": "C:\\data\\a.png", "label": "x"}, {"image": "images\\b.png", "label": "y"}]
    dataset = table_dataset(
        tmp_path, "multiclass-classification", write(rows, format_), format_, val=write([{"image": "v", "label": "x"}], format_)
    ).open()
    assert dataset.train.images == ("images/a.png", "images/b.png")


@pytest.mark.parametrize("cell", ["much", "inf", [1], True])
def test_a_value_that_is_not_a_number_is_named(tmp_path: Path, cell: Any) -> None:
    format_ = "csv" if isinstance(cell, str) else "jsonl"
    with pytest.raises(
        FatalError,
        match=rf"images/a\.png: train\.{format_}:\d: x: expected a finite number \(up to 3\.4e\+38\), or nothing; found ",
    ):
        table_dataset(tmp_path, "regression", write([{"image": "a.png", "x": cell}], format_), format_).open()


def test_a_value_without_a_column_is_named(tmp_path: Path, format_: str) -> None:
    folder = table_dataset(tmp_path, "regression", write([{"image": "a.png", "x": 1}], format_), format_, values=["y"])
    with pytest.raises(FatalError, match=rf"train\.{format_}: expected a column for the value 'y'; found: image, x"):
        folder.open()
    with pytest.raises(FatalError, match="expected a column for each value; found only: image"):
        table_dataset(tmp_path / "x", "regression", write([{"image": "a.png"}], format_), format_).open()


def test_texts_are_kept_except_that_letters_are_composed(tmp_path: Path, format_: str) -> None:
    rows = [{"image": "a.png", "text": ' né, "so" '}, {"image": "b.png", "text": "cafe\u0301"}]
    dataset = table_dataset(tmp_path, "text-recognition", write(rows, format_), format_).open()
    assert [rendered(dataset, image) for image in "ab"] == [Text(' né, "so" '), Text("café")]
    assert set(dataset.heads[0].labels.alphabet) == set(' né,"so caf')
    with pytest.raises(FatalError, match="text: expected a text; found"):
        table_dataset(tmp_path / "x", "text-recognition", as_jsonl([{"image": "a.png", "text": [1]}]), "jsonl").open()


def test_a_text_with_a_character_outside_the_alphabet_is_bad_in_val_too(tmp_path: Path, format_: str) -> None:
    train, val = write([{"image": "a.png", "text": "12"}], format_), write([{"image": "v.png", "text": "1€"}], format_)
    folder = table_dataset(tmp_path, "text-recognition", train, format_, val, alphabet="0123456789")
    with pytest.raises(FatalError, match=r"images/v\.png: the text '1€' has characters that are not in the alphabet: €"):
        folder.open()


def test_anomalies_and_where_they_are(tmp_path: Path, format_: str) -> None:
    nothing: Any = "" if format_ == "csv" else None
    rows = [
        {"image": "a.png", "anomalous": False, "mask": nothing},
        {"image": "b.png", "anomalous": True, "mask": "masks/b.png"},
        {"image": "c.png", "anomalous": True, "mask": nothing},
    ]
    good = write([{"image": "a.png", "anomalous": False}], format_)
    folder = table_dataset(tmp_path, "anomaly-detection", good, format_, val=write(rows, format_).replace("a.png", "v.png"))
    mask = np.zeros(SIZE, np.uint8)
    mask[:, :5] = 1
    dataset = folder.image("masks/b.png", mask).open()
    found = {}
    for name in "vbc":
        target = dataset.val.annotations["labels"][f"images/{name}.png"].render(letterbox(SIZE, SIZE))
        assert isinstance(target, Anomaly)
        found[name] = (target.anomalous, target.has_mask, int(target.mask.sum()))
    assert found == {"v": (False, True, 0), "b": (True, True, 5 * HEIGHT), "c": (True, False, 0)}


@pytest.mark.parametrize(
    ("mask", "complaint"),
    [("masks/gone.png", "mask: no file 'masks/gone.png'"), ("../x.png", r"mask: '\.\./x\.png' leads out of the dataset")],
)
def test_a_missing_mask_is_named(tmp_path: Path, format_: str, mask: str, complaint: str) -> None:
    rows = [{"image": "a.png", "anomalous": 1, "mask": mask}]
    with pytest.raises(FatalError, match=complaint):
        table_dataset(tmp_path, "anomaly-detection", write(rows, format_), format_).open()


CORNERS = {"x1": 10, "y1": 5, "x2": 30, "y2": 6, "x3": 29, "y3": 15, "x4": 9, "y4": 14}


def quads_of(dataset: Dataset, image: str = "a") -> QuadList:
    annotation = dataset.train.annotations["labels"][f"images/{image}.png"]
    assert isinstance(annotation, QuadList)
    return annotation


def test_quadrilaterals_in_csv_have_a_row_each(tmp_path: Path) -> None:
    rows = [
        {"image": "a.png", **CORNERS, "class": "plate", "ignore": "false"},
        {"image": "b.png", **dict.fromkeys(CORNERS, ""), "class": "", "ignore": ""},
        {"image": "a.png", **CORNERS, "class": "sign", "ignore": "true"},
    ]
    dataset = table_dataset(tmp_path, "quadrilateral-detection", as_csv(rows)).open()
    assert dataset.heads[0].labels.classes == ("plate", "sign")
    quads = quads_of(dataset)
    np.testing.assert_array_equal(quads.quads[0], [[10, 5], [30, 6], [29, 15], [9, 14]])
    assert (quads.classes.tolist(), quads.crowd.tolist()) == ([0, 1], [False, True])
    assert quads_of(dataset, "b").objects == 0, "a row without numbers is a negative"


def test_quadrilaterals_in_json_lines_have_one_line_per_image(tmp_path: Path) -> None:
    points = [[10, 5], [30, 6], [29, 15], [9, 14]]
    rows = [
        {"image": "a.png", "quads": [{"points": points, "class": "plate"}, {"points": points, "class": "sign", "ignore": True}]},
        {"image": "b.png", "quads": []},
    ]
    dataset = table_dataset(tmp_path, "quadrilateral-detection", as_jsonl(rows), "jsonl").open()
    quads = quads_of(dataset)
    np.testing.assert_array_equal(quads.quads, [points, points])
    assert (quads.classes.tolist(), quads.crowd.tolist()) == ([0, 1], [False, True])
    assert quads_of(dataset, "b").objects == 0


def test_quadrilaterals_without_class_have_one(tmp_path: Path) -> None:
    dataset = table_dataset(tmp_path, "quadrilateral-detection", as_csv([{"image": "a.png", **CORNERS}])).open()
    assert dataset.heads[0].labels.classes == ("object",)


@pytest.mark.parametrize(
    ("rows", "format_", "complaint"),
    [
        ([{"image": "a.png", **CORNERS, "y4": ""}], "csv", r"train\.csv:2: expected 4 corners of two numbers each"),
        ([{"image": "a.png", **CORNERS, "y4": "x"}], "csv", r"train\.csv:2: expected 4 corners of two numbers each"),
        ([{"image": "a.png", "quads": [{"points": [[1, 2], [3, 4]]}]}], "jsonl", "expected 4 corners of two numbers each"),
        ([{"image": "a.png", "quads": [1]}], "jsonl", r"quads: expected a list of objects with points \[\[x, y\], …\]"),
        ([{"image": "a.png", "quads": None}], "jsonl", "quads: expected a list of objects"),
        ([{"image": "a.png", **CORNERS, "y4": [14]}], "jsonl", r"train\.jsonl:1: expected 4 corners of two numbers each"),
        ([{"image": "a.png", **CORNERS, "y4": 10**400}], "jsonl", r"train\.jsonl:1: expected 4 corners of two numbers each"),
        ([{"image": "a.png", "x1": 1}], "csv", r"expected a column 'y1' \(or give its name in `columns`\); found: image, x1"),
    ],
)
def test_broken_quadrilaterals_are_named(tmp_path: Path, rows: Rows, format_: str, complaint: str) -> None:
    with pytest.raises(FatalError, match=complaint):
        table_dataset(tmp_path, "quadrilateral-detection", write(rows, format_), format_, classes=["object"]).open()


@pytest.mark.parametrize("classes", [None, ["object"]])
@pytest.mark.parametrize("name", [["object"], {"a": 1}, True])
def test_a_quadrilaterals_class_that_is_not_a_name_is_counted(tmp_path: Path, name: Any, classes: list[str] | None) -> None:
    points = [[10, 5], [30, 6], [29, 15], [9, 14]]
    rows = [
        {"image": "a.png", "quads": [{"points": points, "class": name}]},
        {"image": "b.png", "quads": [{"points": points, "class": "object"}]},
    ]
    val = as_jsonl([{"image": "v.png", "quads": []}])
    folder = table_dataset(tmp_path, "quadrilateral-detection", as_jsonl(rows), "jsonl", val, classes=classes)
    assert folder.open(max_bad_images=1).train.images == ("images/b.png",)
    assert folder.said[0].startswith("skipped images/a.png: train.jsonl:1: class: expected a name; found ")
    rows = [{"image": "a.png", **CORNERS, "class": name}, {"image": "b.png", **CORNERS, "class": "object"}]
    val = as_jsonl([{"image": "v.png", **CORNERS, "class": "object"}])
    folder = table_dataset(tmp_path, "quadrilateral-detection", as_jsonl(rows), "jsonl", val, classes=classes)
    assert folder.open(max_bad_images=1).train.images == ("images/b.png",)


def test_columns_may_have_other_names(tmp_path: Path, format_: str) -> None:
    rows = [{"filename": "a.png", "breed": "pug"}, {"filename": "b.png", "breed": "dachs"}]
    columns = {"image": "filename", "label": "breed"}
    dataset = table_dataset(tmp_path, "multiclass-classification", write(rows, format_), format_, columns=columns).open()
    assert dataset.heads[0].labels.classes == ("dachs", "pug")


def test_a_missing_column_is_named_with_the_existing_ones(tmp_path: Path, format_: str) -> None:
    for index, row in enumerate(({"file": "a.png", "label": "x"}, {"image": "a.png", "breed": "x"})):
        missing = ("image", "label")[index]
        with pytest.raises(FatalError, match=rf"train\.{format_}: expected a column '{missing}' .*; found: {', '.join(row)}"):
            table_dataset(tmp_path / str(index), "multiclass-classification", write([row], format_), format_).open()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_with_other_delimiters_and_a_byte_order_mark(tmp_path: Path, delimiter: str) -> None:
    rows = [{"image": "a.png", "label": "x,y" if delimiter == "," else "x"}, {"image": "b.png", "label": "z"}]
    dataset = table_dataset(tmp_path, "multiclass-classification", "\ufeff" + as_csv(rows, delimiter)).open()
    assert len(dataset.heads[0].labels.classes) == 2


def test_broken_lines_are_counted_and_leave_the_others(tmp_path: Path) -> None:
    folder = table_dataset(tmp_path, "multiclass-classification", "image,label\na.png,x\nb.png,x,y\ngone.png,x\n,x\n")
    folder.open(max_bad_images=3)
    assert folder.said == [
        "skipped train.csv:3: expected 2 cells, as in the header; found 3",
        "skipped train.csv:5: image: expected the name of an image; found ''",
        "skipped train.csv:4: gone.png: no image 'gone.png' in 'images'",
    ]
    lines = '{"image": "a.png", "label": "x"}\n[1]\n{"image"\n{"image": 3, "label": "x"}\n'
    folder = table_dataset(tmp_path / "jsonl", "multiclass-classification", lines, "jsonl")
    folder.open(max_bad_images=3)
    assert [line.split(":")[1] for line in folder.said] == ["2", "3", "4"]
    assert "train.jsonl:2: expected an object; found list" in folder.said[0]


def test_an_image_with_two_labels_is_named(tmp_path: Path, format_: str) -> None:
    rows = [{"image": "b.png", "label": "z"}, {"image": "a.png", "label": "x"}, {"image": "a.png", "label": "y"}]
    folder = table_dataset(
        tmp_path, "multiclass-classification", write(rows, format_), format_, val=write([{"image": "v.png", "label": "x"}], format_)
    )
    assert folder.open(max_bad_images=1).train.images == ("images/b.png",)
    assert f"the image already has a label from train.{format_}" in folder.said[0]


def test_a_column_may_give_the_split(tmp_path: Path, format_: str) -> None:
    rows = [
        {"image": f"{image}.png", "label": label, "split": split}
        for image, label, split in [("a", "x", "train"), ("b", "y", "Test"), ("c", "x", "training"), ("v", "z", "valid")]
    ]
    folder = table_dataset(tmp_path, "multiclass-classification", write(rows, format_), format_)
    folder.layers[0]["splits"] = {"all": f"train.{format_}"}
    dataset = folder.json("dataset.json", {"version": 1, "layers": folder.layers}).open()
    assert (dataset.train.images, dataset.val.images) == (("images/a.png", "images/c.png"), ("images/v.png",))
    assert "1 images of a test split left out" in dataset.describe()
    folder.text(f"train.{format_}", write([{"image": "a.png", "label": "x", "split": "some"}], format_))
    with pytest.raises(FatalError, match="split: expected train, val or test; found 'some'"):
        folder.open()


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"train\.csv: expected a column '(image|label)' .* found: nothing"):
        table_dataset(tmp_path / "a", "multiclass-classification", "").open()
    with pytest.raises(FatalError, match="there is no class to learn"):
        table_dataset(tmp_path / "b", "multiclass-classification", "image,label\n").open()
