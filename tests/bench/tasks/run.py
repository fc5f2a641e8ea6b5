"""Runs a row as a user would: `headrace train job.yaml --dataset FOLDER --output FOLDER`."""

import datetime
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from headrace_api import names, runfolder
from headrace_api.report import Outcome, Verdict
from tasks.rows import Data, Row

CACHE = Path(".cache/bench-tasks")
THREADS = 1
"""So that the CPU time counted is that of one core."""
_PROJECT = "bench"


class RowFailedError(Exception):
    """A row's training failed."""


def run(row: Row) -> dict[str, Any]:
    """Train a row from the beginning and score its baseline; returns what measured/ keeps."""
    dataset = dataset_folder(row.data)
    folder = CACHE / "runs" / row.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "job.yaml").write_text(yaml.safe_dump(job_of(row), sort_keys=False))
    cpu_seconds, wall_seconds = _train(folder, dataset)
    outcome = _outcome(row)
    scores: dict[str, dict[str, float]] = {}
    for value in outcome.progress.metrics:
        scores.setdefault(value.head, {})[value.name] = round(value.value, 5)
    return {
        "scores": scores,
        "baselines": _baselines(row, folder, dataset) if row.baseline else {},
        "iterations": outcome.progress.iteration,
        "cpu_seconds": round(cpu_seconds, 1),
        "wall_seconds": round(wall_seconds, 1),
        "threads": THREADS,
        "torch": importlib.metadata.version("torch"),
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "definition": row.definition(),
    }


def dataset_folder(data: Data, cache: Path = CACHE) -> Path:
    """The folder of a dataset, made if it does not exist; several rows may ask for it at once."""
    folder = cache / "datasets" / data.key.replace(" ", "-")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as made:
            new = Path(made) / "new"
            new.mkdir()
            data.write(new)
            try:
                new.rename(folder)
            except OSError:
                if not folder.exists():  # else another row with the same data was quicker
                    raise
    return folder


def job_of(row: Row) -> dict[str, Any]:
    """The TrainingJob of a row."""
    return {
        "apiVersion": "headrace.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "row"},
        "spec": {"project": _PROJECT, "dataset": {"uri": "s3://datasets/row/"}, "model": row.model, "training": row.training},
    }


def _environment() -> dict[str, str]:
    return {**os.environ, names.ENV_CPUS: str(THREADS), "OMP_NUM_THREADS": str(THREADS)}


def _train(folder: Path, dataset: Path) -> tuple[float, float]:
    """Seconds of CPU time of all processes, and of the clock."""
    start = time.monotonic()
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "headrace_cli", "train", str(folder / "job.yaml")),
                *("--dataset", str(dataset), "--output", str(folder / "output")),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(),
        )
        try:
            # A child's CPU time includes that of the children it waited for.
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode != 0:
        raise RowFailedError(f"headrace train ended with {process.returncode}:\n" + "\n".join(_tail(folder / "log.txt")))
    return used.ru_utime + used.ru_stime, time.monotonic() - start


def _tail(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-12:]


def run_folder(row: Row) -> Path:
    """Where the trainer puts a row's results."""
    output = str(CACHE / "runs" / row.name / "output")
    return Path(runfolder.run_folder(output, "default", _PROJECT, "row", runfolder.UID_OF_LOCAL_RUNS))


def _outcome(row: Row) -> Outcome:
    outcome = Outcome.model_validate_json((run_folder(row) / runfolder.OUTCOME).read_text())
    if outcome.outcome is not Verdict.DONE:
        raise RowFailedError(f"{row.name} ended as {outcome.outcome.value}: {outcome.message}")
    return outcome


def _baselines(row: Row, folder: Path, dataset: Path) -> dict[str, Any]:
    """By head: what the baseline is, and its scores. Runs in a separate process, which has torch."""
    result = folder / "baselines.json"
    command = [sys.executable, "-m", "tasks.baselines", str(folder / "job.yaml"), str(dataset), str(result)]
    subprocess.run(command, check=True, env=_environment())
    return dict(json.loads(result.read_text()))


def _commit() -> str:
    """The commit that is checked out, with "+" if files differ from it."""
    head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    folders = ("crds", "trainer", "cli", "local", "tests/bench/tasks/*.py")
    changed = subprocess.run(["git", "status", "--porcelain", "--", *folders], capture_output=True, text=True, check=True).stdout
    return f"{head}+" if changed else head
