"""SIGTERM before a program is ready for it, and to programs that have nothing to save."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from headrace_api import names
from headrace_api.report import Outcome, Verdict
from headrace_storage.stop import EXIT_AFTER_SIGTERM, holding_back
from headrace_testing.fake_s3 import fake_s3
from headrace_testing.stand_in_runs import RUN_FOLDER, dataset_files, job_document, write_files

SUPPORT = str(Path(__file__).parents[1] / "support")
_SECONDS = 60.0


def test_a_trainer_that_is_stopped_before_its_first_instruction_ends_as_stopped(tmp_path: Path) -> None:
    """`headrace train` starts it with signals held back, so none is lost and none kills it without a word."""
    dataset = write_files(tmp_path / "dataset", dataset_files())
    (tmp_path / "job.json").write_text(json.dumps(job_document()))
    places = ["--dataset", str(dataset), "--output", str(tmp_path / "output")]
    with holding_back():
        trainer = subprocess.Popen(
            [sys.executable, "-m", "headrace_testing.supervisor_with_stand_in", str(tmp_path / "job.json"), *places],
            env=os.environ
            | {
                "PYTHONPATH": SUPPORT,
                names.ENV_WORKSPACE: str(tmp_path / "workspace"),
                names.ENV_TERMINATION_LOG: str(tmp_path / "outcome.json"),
                names.ENV_LISTEN_HOST: "127.0.0.1",
                names.ENV_LISTEN_PORT: "0",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        trainer.send_signal(signal.SIGTERM)
    said, _ = trainer.communicate(timeout=_SECONDS)
    assert trainer.returncode == 0, said
    assert Outcome.model_validate_json((tmp_path / "outcome.json").read_bytes()).outcome is Verdict.STOPPED
    assert not (tmp_path / "output" / RUN_FOLDER / "checkpoints").exists()
    assert list((tmp_path / "workspace").iterdir()) == []


def test_a_trainer_whose_parent_is_already_gone_ends_as_stopped(tmp_path: Path) -> None:
    dataset = write_files(tmp_path / "dataset", dataset_files())
    (tmp_path / "job.json").write_text(json.dumps(job_document()))
    places = ["--dataset", str(dataset), "--output", str(tmp_path / "output"), "--end-with-parent", str(2**22)]
    ended = subprocess.run(
        [sys.executable, "-m", "headrace_testing.supervisor_with_stand_in", str(tmp_path / "job.json"), *places],
        env=os.environ | {"PYTHONPATH": SUPPORT, names.ENV_WORKSPACE: str(tmp_path / "workspace"), names.ENV_LISTEN_PORT: "0"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert ended.returncode == 0
    assert "stopped: Interrupted" in ended.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["dataset", "check", "s3://bucket/data/"],
        ["dataset", "check", "--images", "s3://bucket/data/"],
        ["predict", "s3://bucket/run/", "photo.jpg"],
        ["export", "s3://bucket/run/", "--format", "onnx"],
    ],
    ids=" ".join,
)
def test_a_command_with_nothing_to_save_leaves_nothing_when_it_is_stopped(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "tmp").mkdir()
    slow = "run/model/model.safetensors" if arguments[0] in {"predict", "export"} else "data/slow.json"
    with fake_s3() as s3:
        s3.objects = {f"data/{key}": content for key, content in dataset_files().items()} | {"run/model/config.json": b"{}"}
        s3.objects[slow] = b"x" * 300_000
        s3.slow_gets = {slow}  # takes ten minutes
        check = subprocess.Popen(
            [sys.executable, "-m", "headrace_cli", *arguments],
            cwd=tmp_path,
            env=os.environ | s3.environment() | {"TMPDIR": str(tmp_path / "tmp")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            _wait(lambda: f"GET {slow}" in s3.requests, check)
            assert list((tmp_path / "tmp").glob("headrace-*"))
            started = psutil.Process(check.pid).children(recursive=True)
            assert started
            check.send_signal(signal.SIGTERM)
            said, _ = check.communicate(timeout=_SECONDS)
        finally:
            check.kill()
            check.wait()
        assert check.returncode == EXIT_AFTER_SIGTERM, said
        assert list((tmp_path / "tmp").glob("headrace-*")) == []  # torch keeps a cache of its own there
        assert psutil.wait_procs(started, timeout=_SECONDS)[1] == []


def _wait(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    limit = time.monotonic() + _SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.01)
