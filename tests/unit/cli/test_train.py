"""`headrace train`, up to the point where it would start the trainer."""

import importlib.util
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace_api.names import ExitCode
from headrace_cli.__main__ import app
from headrace_cli.progress_bar import time_left_text

VALID = """
apiVersion: headrace.dev/v1alpha1
kind: TrainingJob
metadata: {name: street-1}
spec: {project: street, dataset: {uri: s3://datasets/street/}}
"""


def refused(tmp_path: Path, manifest: str | None, *arguments: str) -> str:
    """The output for a manifest, which must be refused."""
    file = tmp_path / "job.yaml"
    if manifest is not None:
        file.write_text(manifest)
    result = CliRunner().invoke(app, ["train", str(file), *arguments])
    assert result.exit_code == ExitCode.FATAL, result.output
    assert result.stdout == ""
    return result.stderr


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (None, "job.yaml: No such file or directory"),
        ("", "contains 0 documents; `headrace train` needs exactly one TrainingJob"),
        (VALID + "---" + VALID, "contains 2 documents; `headrace train` needs exactly one TrainingJob"),
        ("[1, 2]", "contains a list; a TrainingJob starts with apiVersion, kind, metadata and spec"),
        ("a: [", "is not YAML"),
        (VALID.replace("TrainingJob", "Job"), "kind is 'Job', but must be 'TrainingJob'"),
        (VALID.replace("v1alpha1", "v2"), "apiVersion is 'headrace.dev/v2', but must be 'headrace.dev/v1alpha1'"),
        (VALID.replace("street-1", "../street"), "metadata.name is '../street', but must be a DNS label"),
        (VALID.replace("street-1", "x" * 53), "at most 52 characters"),
        (VALID.replace("project: street", "project: Street!"), "spec.project: "),
        (
            VALID.replace("{uri:", "{max_bad_images: 1, uri:"),
            "max_bad_images: there is no such field; did you mean 'maxBadImages'?",
        ),
    ],
)
def test_what_is_not_one_valid_job_is_refused(tmp_path: Path, manifest: str | None, said: str) -> None:
    assert said in refused(tmp_path, manifest)


def test_a_place_for_the_results_is_required(tmp_path: Path) -> None:
    said = refused(tmp_path, VALID)
    assert "error: there is no place for the results" in said
    assert "hint: pass --output, or set spec.output.uri" in said


def test_a_missing_extra_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else real(name))
    said = refused(tmp_path, VALID, "--output", str(tmp_path))
    assert "packages that are not installed: torch" in said
    assert "hint: in a checkout of Headrace: pip install '.[trainer]'" in said


def test_help_says_where_results_go_and_how_to_resume() -> None:
    said = " ".join(CliRunner().invoke(app, ["train", "--help"]).stdout.split())
    assert "<job>-local/" in said
    assert "continues from the latest checkpoint" in said.replace("│ ", "")


def test_time_left_for_people() -> None:
    assert time_left_text(None) == ""
    assert time_left_text(3725) == "1:02:05 left"
