"""`headrace dataset check`, which starts the trainer's program."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace_api.names import ExitCode
from headrace_cli.__main__ import app
from headrace_testing.dataset_folder import DatasetFolder


def headrace(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "headrace_cli", *arguments], capture_output=True, text=True, check=False, env=environment
    )


def test_the_report_goes_to_stdout_and_the_exit_status_is_passed_on(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path)
    for name in ("cat", "dog"):
        for number in range(20):
            folder.image(f"{name}/{number}.png")
    good = headrace("dataset", "check", str(tmp_path))
    assert (good.returncode, good.stderr) == (0, "")
    assert "layer 'classes': multiclass classification, format image-folder" in good.stdout
    folder.text("cat/3.png", "no image")
    bad = headrace("dataset", "check", str(tmp_path), "--json", "--images")
    assert (bad.returncode, bad.stderr) == (1, "")
    report = json.loads(bad.stdout)
    assert report["decoded"]
    assert report["problems"][0].startswith("cat/3.png: cannot be read as an image")


def test_a_uri_that_looks_like_an_option_is_not_one(tmp_path: Path) -> None:
    result = headrace("dataset", "check", "--", "--images")
    assert "error: --images: No such file or directory" in result.stderr
    assert result.returncode == ExitCode.FATAL


def test_a_missing_extra_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "numpy" else real(name))
    result = CliRunner().invoke(app, ["dataset", "check", "."])
    assert result.exit_code == ExitCode.FATAL
    assert "a check needs packages that are not installed: numpy" in result.stderr
    assert "hint: in a checkout of Headrace: pip install '.[trainer]'" in result.stderr
