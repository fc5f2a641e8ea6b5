"""Import-linter refuses an upward import in every package, and a module without a place among the layers.

All bad imports are planted in one copy of the sources, so that one run of `lint-imports` finds them.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINT = Path(sys.executable).with_name("lint-imports")
SOURCES = ("crds", "storage", "operator", "trainer", "cli", "local", "charts")

ARROWS = [
    ("headrace_operator.state", "headrace_operator.actions"),
    ("headrace_operator.actions", "headrace_operator.statuses"),
    ("headrace_operator.decide", "headrace_operator.reconcile"),
    ("headrace_operator.policies.turn", "headrace_operator.decide"),
    ("headrace_operator.policies.ttl", "aiohttp"),
    ("headrace_operator.pods", "headrace_operator.cache"),
    ("headrace_operator.kube", "headrace_operator.handlers"),
    ("headrace_operator.clock", "headrace_trainer.protocol"),
    ("headrace_kube.connection", "headrace_kube.client"),
    ("headrace_kube.errors", "headrace_operator.state"),
    ("headrace_api.fields", "headrace_api.trainingjob"),
    ("headrace_api.names", "headrace_storage.store"),
    ("headrace_storage.store", "headrace_storage.pull"),
    ("headrace_storage.retry", "headrace_trainer.protocol"),
    ("headrace_trainer.data.formats.yolo", "headrace_trainer.worker.step"),
    ("headrace_trainer.data.annotations.boxes", "headrace_trainer.data.formats.coco"),
    ("headrace_trainer.data.problems", "headrace_trainer.data.dataset"),
    ("headrace_trainer.data.tables.reader", "headrace_trainer.tasks.regression"),
    ("headrace_trainer.tasks.object_detection", "headrace_trainer.data.formats.registry"),
    ("headrace_trainer.tasks.description", "torch"),
    ("headrace_trainer.results.tables", "headrace_trainer.heads.base"),
    ("headrace_trainer.heads.truth", "headrace_trainer.data.dataset"),
    ("headrace_trainer.supervisor.board", "headrace_trainer.supervisor.run"),
    ("headrace_trainer.supervisor.serve", "torch"),
    ("headrace_trainer.worker.step", "headrace_trainer.worker.report"),
    ("headrace_trainer.heads.regression", "headrace_trainer.heads.depth_estimation"),
    ("headrace_trainer.ops.boxes", "headrace_trainer.heads.base"),
    ("headrace_trainer.predict.model", "headrace_trainer.supervisor.run"),
    ("headrace_cli.manifest", "headrace_local.cluster"),
]


def file_of(sources: Path, module: str) -> Path:
    """The file of a module in a copy of the sources."""
    return next(sources.glob(f"*/{module.replace('.', '/')}.py"))


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says about a copy of the sources with every bad import planted, and with one new module."""
    copy = tmp_path_factory.mktemp("sources")
    for source in SOURCES:
        shutil.copytree(ROOT / source, copy / source, ignore=shutil.ignore_patterns("__pycache__"))
    for importer, imported in ARROWS:
        file = file_of(copy, importer)
        file.write_text(f"{file.read_text()}\nimport {imported}\n")
    (copy / "operator/headrace_operator/helpers.py").touch()
    command = [str(LINT), "--no-cache", "--no-logo", "--config", str(ROOT / "pyproject.toml")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(copy / source) for source in SOURCES)}
    done = subprocess.run(command, check=False, cwd=copy, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    return " ".join(done.stdout.split())  # it wraps lines at the width of the terminal


@pytest.mark.parametrize(("importer", "imported"), ARROWS)
def test_an_upward_import_is_refused(verdict: str, importer: str, imported: str) -> None:
    assert f"{importer} -> {imported} (l." in verdict


def test_a_module_without_a_place_is_refused(verdict: str) -> None:
    assert "headrace_operator.helpers" in verdict
