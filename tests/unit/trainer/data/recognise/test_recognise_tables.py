"""Datasets without dataset.json whose labels are in tables."""

from pathlib import Path

import pytest

from headrace_testing.recognising import complaint_of, folder_of, layer, manifest_of, recognised


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
def test_a_lone_table_is_recognised_by_its_columns(
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
        ("a,b\n1,2\n", "the table labels.csv, but no column has image names; found: a, b"),
        ("image,x,y\n1.jpg,a,b\n", "no column name says what it holds; besides 'image', found: x, y"),
        ("image\n1.jpg\n", "no column name says what it holds; besides 'image', found: none"),
        ("image;age\n1.jpg;40,5\n", "column 'age' has numbers with a decimal comma (40,5); expected a point"),
        ("image,fold,age\n1.jpg,3,40\n", "column 'fold' does not say train, val or test"),
        ("image,class,xmin,ymin,xmax,ymax\n1.jpg,cat,1,1,9,9\n", "its boxes (xmin, ymin, xmax, ymax) cannot be read from a table"),
        (
            "image,label,text\n1.jpg,a,b\n",
            "labels.csv as text recognition by column 'text' or multiclass classification by column 'label'",
        ),
    ],
)
def test_a_table_of_an_unclear_kind_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    assert complaint in complaint_of(folder_of(tmp_path, "images/1.jpg").text("labels.csv", text))


def test_two_tables_are_ambiguous(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "1.jpg").text("a.csv", "image,label\n").text("b.csv", "image,label\n")
    assert "can be read in several ways: the table a.csv; the table b.csv" in complaint_of(folder)
