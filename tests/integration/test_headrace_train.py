"""`headrace train` with the real trainer on a generated dataset: no cluster, no object storage."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from headrace_api.names import ExitCode
from headrace_api.report import Outcome, Verdict
from headrace_scenes import write_digit_scenes
from headrace_storage.folder import FolderStore
from headrace_trainer.supervisor.checkpoints import read_marker

_SECONDS = 240.0
_JOB = """
apiVersion: headrace.dev/v1alpha1
kind: TrainingJob
metadata: {name: digits}
spec:
  project: demo
  dataset: {uri: s3://datasets/digits/}
  model:
    backbone: {name: resnet18, topLevel: 3}
    heads: [{name: tags, annotations: objects, multilabelClassification: {}}]
  training:
    maxIterations: ITERATIONS
    batchSize: 2
    imageSize: {height: 32, width: 32}
    evaluateEvery: 100000
    checkpointEvery: 100000
"""


def headrace_train(folder: Path, iterations: int, *others: str) -> "subprocess.Popen[str]":
    (folder / "job.yaml").write_text(_JOB.replace("ITERATIONS", str(iterations)))
    arguments = ["train", str(folder / "job.yaml"), "--dataset", str(folder / "data"), "--output", str(folder / "runs")]
    arguments += others
    return subprocess.Popen(
        [sys.executable, "-m", "headrace_cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"HEADRACE_UPLOAD_EVERY_SECONDS": "0.2", "HEADRACE_CPUS": "1", "TMPDIR": str(folder / "tmp")},
    )


def test_ctrl_c_saves_a_checkpoint_and_the_same_command_finishes_the_job(tmp_path: Path) -> None:
    write_digit_scenes(tmp_path / "data", train=8, val=4, size=32)
    (tmp_path / "tmp").mkdir()
    run_folder = tmp_path / "runs/default/demo/digits-local"

    # Train a little, then Ctrl-C.
    first = headrace_train(tmp_path, iterations=100_000)
    try:
        limit = time.monotonic() + _SECONDS
        while not any('"losses"' in part.read_text() for part in run_folder.glob("attempts/1/metrics/*.jsonl")):
            assert first.poll() is None, first.communicate()
            assert time.monotonic() < limit, "training never started"
            time.sleep(0.05)
        first.send_signal(signal.SIGINT)
        facts, said = first.communicate(timeout=_SECONDS)
    finally:
        first.kill()
        first.wait()
    assert first.returncode == ExitCode.OK, said
    assert "outcome\tstopped\n" in facts
    assert "run the same command again to continue from there" in said
    marker = read_marker(FolderStore(run_folder), "checkpoints/latest.json")
    assert marker is not None
    assert marker.iteration >= 1
    assert list((tmp_path / "tmp").iterdir()) == [], "the workspace is gone"

    # The same command again, to an end that is three iterations away.
    second = headrace_train(tmp_path, iterations=marker.iteration + 3)
    try:
        facts, said = second.communicate(timeout=_SECONDS)
    finally:
        second.kill()
        second.wait()
    assert second.returncode == ExitCode.OK, said
    assert f"resuming from iteration {marker.iteration:,}" in said
    assert f"iteration\t{marker.iteration + 3} of {marker.iteration + 3}\n" in facts
    assert "score\ttags mAP " in facts
    outcome = Outcome.model_validate_json((run_folder / "outcome.json").read_bytes())
    assert outcome.outcome is Verdict.DONE
    assert (run_folder / "model/config.json").is_file()
    assert {path.name for path in (run_folder / "attempts").iterdir()} == {"1", "2"}
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_later_run_begins_with_an_earlier_ones_model(tmp_path: Path) -> None:
    write_digit_scenes(tmp_path / "data", train=8, val=4, size=32)
    (tmp_path / "tmp").mkdir()

    def train(*others: str) -> str:
        run = headrace_train(tmp_path, 2, *others)
        try:
            _, said = run.communicate(timeout=_SECONDS)
        finally:
            run.kill()
            run.wait()
        assert run.returncode == ExitCode.OK, said
        return said

    train()
    (tmp_path / "runs").rename(tmp_path / "earlier")
    model = tmp_path / "earlier/default/demo/digits-local/model"
    said = train("--initial-weights", str(model))
    assert f"starting from the weights at {model}" in said
    assert re.search(r"initial weights, tensors loaded: backbone (\d+) of \1, head 'tags' (\d+) of \2\n", said)
    assert model.is_dir()
