"""The model card: what a person needs to know about a trained model, whatever its names contain."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from headrace_api.heads import Head
from headrace_api.trainingjob import Better, TrainingJob, parse_job
from headrace_trainer.heads.scores import Score
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.build import HeadPlan
from headrace_trainer.worker.evaluate import Scores
from headrace_trainer.worker.model_card import Trained, model_card

BOXES = {"name": "boxes", "annotations": "objects", "objectDetection": {}}


def job(**spec: Any) -> TrainingJob:
    model = {"backbone": {"name": "resnet18"}, "neck": {"biFpn": {}}}
    training = {"imageSize": {"height": 480, "width": 640}, "batchSize": 8}
    defaults = {"project": "street", "dataset": {"uri": "s3://data/street/"}, "model": model, "training": training}
    return parse_job({"metadata": {"name": "street-3"}, "spec": defaults | spec})


def card(classes: tuple[str, ...] = ("car", "person"), **changes: Any) -> str:
    heads = (
        HeadPlan(Head.model_validate(BOXES), LabelSpace(classes=classes)),
        HeadPlan(Head.model_validate({"name": "views", "viewInvariance": {}}), LabelSpace()),
    )
    scores = Scores(
        {"boxes": {"AP": 0.51234567, "error": 2.5}, "views": {"knn": math.nan}},
        {"boxes": (Score("AP"), Score("error", Better.LOWER, "px")), "views": (Score("knn"),)},
    )
    images = {"train": 1200, "val": 80}
    known: dict[str, Any] = {"job": job(), "heads": heads, "images": images, "iteration": 5000, "scores": scores}
    return model_card(Trained(**(known | changes)))


def tokens(text: str) -> list[Token]:
    """What a Markdown reader with tables and HTML makes of it, inline parts included."""
    blocks = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    return [part for block in blocks for part in (block, *(block.children or ()))]


def cells(text: str) -> list[list[str]]:
    """The rows of all tables, as they are read."""
    rows: list[list[str]] = []
    for block in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        if block.type == "tr_open":
            rows.append([])
        elif block.type == "inline" and block.level >= 4 and rows:
            rows[-1].append("".join(part.content for part in block.children or ()))
    return [row for row in rows if row]


def test_it_says_what_the_model_is_on_what_it_was_trained_and_how_good_it_is() -> None:
    text = card()
    assert text.startswith("# street-3\n")
    assert "a resnet18 backbone, a BiFPN neck and 2 heads" in text
    said = "".join(token.content for token in tokens(text) if token.type in {"text", "code_block", "code_inline"})
    for fact in (
        "s3://data/street/",
        "1,200 to train on, 80 held out",
        "5,000",
        "640 × 480",
        "headrace predict",
        "headrace export",
    ):
        assert fact in said, fact
    rows = cells(text)
    assert ["boxes", "object detection", "objects", "2 classes: car, person"] in rows
    assert ["views", "view invariance", "none: images alone", "none"] in rows
    assert ["boxes", "AP", "0.5123", "higher"] in rows
    assert ["boxes", "error", "2.5 px", "lower"] in rows
    assert ["views", "knn", "not measured", "higher"] in rows
    assert max(map(len, text.splitlines())) < 250, "a person reads it in an editor"


ATTACKS = [
    "<script>alert(1)</script>",
    "a|b",
    "`code`",
    "![x](http://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "<http://evil.example>",
    "http://evil.example/",
    "www.evil.example",
    "me@evil.example",
    "&lt;&amp;&#60;",
    "**bold** _it_ ~~no~~",
    "two\nlines\n\n# title",
    "\\",
    "a\\|b",
    "@everyone #1",
    "- item",
    "$x$",
]
HARMLESS = {"text", "text_special", "softbreak", "inline", "code_inline", "code_block"}
_PARTS = ("heading", "paragraph", "table", "thead", "tbody", "tr", "th", "td", "bullet_list", "list_item")
STRUCTURE = {f"{part}_{end}" for part in _PARTS for end in ("open", "close")}


def inert(text: str, dataset: str = "s3://data/street/") -> None:
    found = {token.type for token in tokens(text)}
    assert found <= HARMLESS | STRUCTURE, found - HARMLESS - STRUCTURE
    assert {len(row) for row in cells(text)} == {4}, "every row has its columns"
    assert [token.content for token in tokens(text) if token.type == "code_inline"] == [
        dataset,
        "config.json",
        "metrics.json",
        "model.safetensors",
    ]


@pytest.mark.parametrize("name", ATTACKS)
def test_a_name_is_shown_as_it_is_and_does_nothing(name: str) -> None:
    text = card((name, "person"))
    inert(text)
    shown = " ".join(name.split())
    assert f"2 classes: {shown}, person" in [row[3] for row in cells(text)]
    assert "http://evil" not in text, "GitHub would make a link of it"
    assert "www.evil" not in text
    assert "me@evil" not in text


@pytest.mark.parametrize("path", ["a`b", "``", "<b>", "a|b", "x\\"])
def test_the_dataset_is_shown_as_the_job_names_it(path: str) -> None:
    uri = f"s3://data/{path}"
    inert(card(job=job(dataset={"uri": uri})), uri)


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_whatever_the_names_are_the_card_keeps_its_shape(names: list[str]) -> None:
    inert(card(tuple(names)))


def test_many_and_long_names_are_cut_short() -> None:
    text = card(tuple(f"{number}{'x' * 500}" for number in range(1000)))
    assert "1,000 classes" in text
    assert "and 988 more" in text
    assert len(text) < 5000


def test_a_card_can_be_written_whatever_a_name_contains(tmp_path: Path) -> None:
    """A file name on disk may be no valid text, which a class of a folder dataset may inherit."""
    (tmp_path / "README.md").write_text(card(("caf\udce9", "\x00\x1b[31mred")))
    assert "\x1b" not in (tmp_path / "README.md").read_text()
