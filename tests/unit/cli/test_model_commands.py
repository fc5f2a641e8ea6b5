"""`headrace predict` and `headrace export`, with a stand-in for the program that they start."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from click.testing import Result
from rich.markup import render
from typer.testing import CliRunner

from headrace_api.names import ExitCode
from headrace_cli import model_process
from headrace_cli.__main__ import app

PROGRAM = """
import json, os, sys
open(os.environ["ARGUMENTS"], "w").write(json.dumps(sys.argv[1:]))
print(json.dumps({{"done": 1, "of": 2}}))
print("skipped x.jpg: it is broken", file=sys.stderr)
print(json.dumps({{"facts": [["images", "1"], ["unreadable", "1"]]}}))
sys.exit({code})
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that writes its arguments to the given file, prints something and exits with 1."""
    write_program(tmp_path, 1)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("ARGUMENTS", str(tmp_path / "arguments.json"))
    monkeypatch.setattr(model_process, "_MODULE", "stand_in_model_program")
    return tmp_path / "arguments.json"


def write_program(folder: Path, code: int) -> None:
    (folder / "stand_in_model_program.py").write_text(PROGRAM.format(code=code))


def headrace(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_predict_passes_its_options_on_and_prints_the_results(stand_in: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = headrace("predict", "run/model", "a.jpg", "photos", "--out", "seen", "--min-score", "0.3", "--no-pictures")
    assert result.exit_code == 1, "the exit status says that some images could not be read"
    assert result.stdout == "images\t1\nunreadable\t1\n"
    assert "skipped x.jpg: it is broken" in capfd.readouterr().err
    options = ["--out", "seen", "--min-score", "0.3", "--batch-size", "8", "--no-pictures"]
    assert json.loads(stand_in.read_text()) == ["images", *options, "--", "run/model", "a.jpg", "photos"]


def test_an_image_whose_name_begins_with_a_dash_is_an_image(stand_in: Path) -> None:
    headrace("predict", "--", "model", "-x.jpg")
    assert json.loads(stand_in.read_text())[-3:] == ["--", "model", "-x.jpg"]


@pytest.mark.parametrize(("format", "file"), [("onnx", "model.onnx"), ("torch-export", "model.pt2")])
def test_export_has_a_name_for_the_file(stand_in: Path, tmp_path: Path, format: str, file: str) -> None:
    write_program(tmp_path, 0)
    result = headrace("export", "model", "--format", format, "--head", "boxes", "--head", "tags")
    assert result.exit_code == 0
    arguments = ["graph", "--format", format, "--out", file, "--head", "boxes", "--head", "tags", "--", "model"]
    assert json.loads(stand_in.read_text()) == arguments


def test_a_program_that_is_killed_has_failed(stand_in: Path, tmp_path: Path) -> None:
    (tmp_path / "stand_in_model_program.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert headrace("export", "model", "--format", "onnx").exit_code == ExitCode.FATAL


@pytest.mark.parametrize("command", [("predict", "model", "x.jpg"), ("export", "model", "--format", "onnx")])
def test_a_missing_extra_is_named_with_the_remedy(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else real(name))
    result = headrace(*command)
    assert result.exit_code == ExitCode.FATAL
    assert "packages that are not installed: torch" in result.stderr
    assert "hint: in a checkout of Headrace: pip install '.[trainer]'" in result.stderr


def help_texts(command: click.Command) -> Iterator[str]:
    """The texts of a command, its parameters and its subcommands, as written in the source."""
    yield from (str(text) for text in (command.help, *(getattr(one, "help", "") for one in command.params)) if text)
    for below in getattr(command, "commands", {}).values():
        yield from help_texts(below)


def test_help_keeps_text_in_brackets() -> None:
    """Rich drops bracketed text that it takes for markup."""
    texts = list(help_texts(typer.main.get_command(app)))
    assert len(texts) > 20
    for text in texts:
        assert render(text).plain == text.replace("\\[", "["), text
    assert "pip install '.[onnx]'" in " ".join(headrace("export", "--help").stdout.replace("│", "").split())


def test_help_has_the_exit_status_and_an_example() -> None:
    said = " ".join(headrace("predict", "--help").stdout.split())
    assert "1 some images could not be read" in said.replace("│ ", "")
    assert "Example: headrace predict" in said
