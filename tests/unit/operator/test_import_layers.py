"""The operator's layers: import-linter refuses an arrow that points up, and a module without a place among them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINT = Path(sys.executable).with_name("lint-imports")
SOURCES = ("crds", "trainer", "cli", "local", "charts")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the operator, to spoil."""
    ignore = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "operator/headrace_operator", tmp_path / "headrace_operator", ignore=ignore))


def check(package: Path, contract: str) -> tuple[int, str]:
    """Checks the copy against a contract of the repository. Returns the exit code and what import-linter says."""
    path = [str(package.parent), *(str(ROOT / source) for source in SOURCES)]
    command = [str(LINT), "--no-cache", "--no-logo", "--config", str(ROOT / "pyproject.toml"), "--contract", contract]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run(command, check=False, cwd=package.parent, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_the_operator_as_it_is_keeps_its_layers(package: Path) -> None:
    code, said = check(package, "operator-layers")
    assert (code, "The operator's layers KEPT" in said) == (0, True), said


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("state", "actions"),
        ("decide", "reconcile"),
        ("policies.turn", "decide"),
        ("pods", "cache"),
        ("cache", "kube"),
        ("kube", "handlers"),
    ],
)
def test_an_arrow_that_points_up_is_refused(package: Path, importer: str, imported: str) -> None:
    file = package / f"{importer.replace('.', '/')}.py"
    file.write_text(f"{file.read_text()}\nimport headrace_operator.{imported}\n")
    code, said = check(package, "operator-layers")
    assert code == 1, said
    assert f"headrace_operator.{importer} -> headrace_operator.{imported} (l.{len(file.read_text().splitlines())})" in said


def test_a_policy_that_reads_a_client_is_refused(package: Path) -> None:
    file = package / "policies/turn.py"
    file.write_text(f"{file.read_text()}\nimport aiohttp\n")
    code, said = check(package, "deciding-is-pure")
    assert code == 1, said
    assert "headrace_operator.policies.turn -> aiohttp" in said


def test_a_module_without_a_place_is_refused(package: Path) -> None:
    (package / "helpers.py").write_text("")
    code, said = check(package, "operator-layers")
    assert code == 1, said
    assert "helpers" in said
