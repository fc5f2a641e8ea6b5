"""What every command line has: its version, help by both options, completion."""

import os
import subprocess
import sys
from itertools import pairwise

import pytest

from headrace_api.names import RELEASE


def run(*arguments: str, program: str = "headrace_cli.__main__", **variables: str) -> str:
    code = f"import sys; sys.argv[0] = 'headrace'; from {program} import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("asked", ["--version", "version"])
def test_the_version_is_printed(asked: str) -> None:
    assert run(asked) == f"headrace {RELEASE}\n"


@pytest.mark.parametrize("command", [[], ["train"], ["dataset"], ["dataset", "check"]])
def test_help_has_a_short_option(command: list[str]) -> None:
    assert run(*command, "-h") == run(*command, "--help")


@pytest.mark.parametrize("command", [[], ["train"], ["predict"], ["export"], ["dataset"], ["dataset", "check"], ["version"]])
def test_help_fills_each_line_of_a_narrow_terminal(command: list[str]) -> None:
    columns = 80
    description, *_ = run(*command, "--help", COLUMNS=str(columns)).split("╭")
    lines = [line.strip() for line in description.splitlines()]
    for line, following in pairwise(lines):
        if line and following:
            word = following.split()[0]
            assert len(f" {line} {word} ") > columns, f"'{word}' fits on the line before: {line}"


def test_bash_gets_a_completion_script() -> None:
    assert "_HEADRACE_COMPLETE=complete_bash" in run(_HEADRACE_COMPLETE="source_bash")


def test_kubectl_completes_the_plugin() -> None:
    assert run("da", program="headrace_cli.kubectl_completion").splitlines() == ["dataset", ":0"]
    assert run("dataset", "", program="headrace_cli.kubectl_completion").splitlines() == ["check", ":0"]


def test_kubectl_completes_file_names_where_no_word_is_known() -> None:
    assert run("train", "job", program="headrace_cli.kubectl_completion").splitlines() == [":0"]
