"""SIGTERM in every phase of an attempt: progress is saved, the workspace is wiped, and the exit is in time and in order."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace_api import names
from headrace_api.names import ExitCode
from headrace_api.report import Outcome, Phase, Verdict
from headrace_storage.folder import FolderStore
from headrace_testing.fake_s3 import FakeS3, fake_s3
from headrace_testing.stand_in_runs import RUN_FOLDER, Attempt, dataset_files, job_document, write_files
from headrace_testing.stand_in_worker import ENV_BEHAVIOUR, Behaviour
from headrace_trainer.supervisor import checkpoints
from headrace_trainer.supervisor.worker_process import WorkerProcess


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_files(tmp_path / "dataset", dataset_files())


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as fake:
        yield fake


def latest_iteration(output: Path) -> int | None:
    marker = checkpoints.read_marker(FolderStore(output / RUN_FOLDER), "checkpoints/latest.json")
    return marker.iteration if marker else None


def assert_stopped(attempt: Attempt, iteration: int | None) -> None:
    assert attempt.code is ExitCode.OK
    assert attempt.outcome.outcome is Verdict.STOPPED
    assert (attempt.outcome.checkpoint.iteration if attempt.outcome.checkpoint else None) == iteration
    assert attempt.wiped


def test_while_storage_is_away_at_the_start(tmp_path: Path, s3: FakeS3, output: Path) -> None:
    s3.errors, s3.keep_failing = [(503, "SlowDown")], True
    with Attempt(tmp_path / "a", job_document(), output=str(output), environment=s3.environment()) as attempt:
        attempt.until_log("trying again")
        attempt.stop.request()
        attempt.until_over()
    assert_stopped(attempt, None)
    assert attempt.outcome.message == "stopped before the training began"


def test_while_the_dataset_is_pulled(tmp_path: Path, s3: FakeS3, output: Path) -> None:
    s3.objects = {f"none/{key}": content for key, content in dataset_files(50).items()}
    del s3.objects["none/images/00049.jpg"]
    s3.objects["none/images/00049.jpg"] = b"short"
    s3.listed_sizes = {"none/images/00049.jpg": 1000}  # never arrives whole, so the pull does not get any further
    with Attempt(tmp_path / "a", job_document(), output=str(output), environment=s3.environment()) as attempt:
        attempt.until(lambda: attempt.status.message == "dataset: 51 of 52 files", "all but one file pulled")
        assert attempt.status.phase is Phase.PULLING
        attempt.stop.request()
        attempt.until_over()
    assert_stopped(attempt, None)


def test_while_a_big_object_comes_over_a_slow_line(tmp_path: Path, s3: FakeS3, output: Path) -> None:
    s3.objects = {f"none/{key}": content for key, content in dataset_files().items()} | {"none/images/big.jpg": b"x" * 300_000}
    s3.slow_gets = {"none/images/big.jpg"}  # takes ten minutes
    with Attempt(tmp_path / "a", job_document(), output=str(output), environment=s3.environment()) as attempt:
        attempt.until(lambda: "GET none/images/big.jpg" in s3.requests, "the big object under way")
        began = time.monotonic()
        attempt.stop.request()
        attempt.until_over()
        assert time.monotonic() - began < 10
    assert_stopped(attempt, None)


def test_while_the_network_is_built(tmp_path: Path, dataset: Path, output: Path) -> None:
    behaviour = Behaviour(build_seconds=0.5)
    with Attempt(tmp_path / "a", job_document(), behaviour, dataset=str(dataset), output=str(output)) as attempt:
        attempt.until_log("stand-in worker begins")
        attempt.stop.request()
        attempt.until_over()
    assert_stopped(attempt, 0)


def test_before_the_worker_listens(tmp_path: Path, dataset: Path, output: Path) -> None:
    with Attempt(tmp_path / "a", job_document(), dataset=str(dataset), output=str(output)) as attempt:
        attempt.until(lambda: attempt.status.phase is Phase.BUILDING, "building")
        attempt.stop.request()
        attempt.until_over()
    assert attempt.outcome.outcome is Verdict.STOPPED
    assert attempt.wiped


def test_while_it_trains_the_iteration_reached_is_saved(tmp_path: Path, dataset: Path, output: Path) -> None:
    behaviour = Behaviour(step_seconds=0.05)
    with Attempt(
        tmp_path / "a", job_document(maxIterations=10_000), behaviour, dataset=str(dataset), output=str(output)
    ) as attempt:
        attempt.until(lambda: attempt.status.progress.iteration >= 5, "iteration 5")
        attempt.stop.request()
        attempt.until_over()
    reached = attempt.outcome.progress.iteration
    assert reached >= 5
    assert_stopped(attempt, reached)
    assert latest_iteration(output) == reached


def test_a_worker_that_does_not_hear_is_killed_in_time_and_the_last_complete_checkpoint_counts(
    tmp_path: Path, dataset: Path, output: Path
) -> None:
    behaviour = Behaviour(at=9, trouble="hang", deaf=True)
    with Attempt(tmp_path / "a", job_document(), behaviour, dataset=str(dataset), output=str(output), grace_seconds=2.0) as attempt:
        attempt.until(lambda: attempt.status.progress.iteration == 9, "iteration 9")
        attempt.until(lambda: latest_iteration(output) == 8, "checkpoint 8")
        began = time.monotonic()
        attempt.stop.request()
        attempt.until_over()
        assert time.monotonic() - began < 2.0
    assert_stopped(attempt, 8)
    assert "did not exit in time: killing it" in attempt.log


def test_a_worker_that_even_sigkill_does_not_end_holds_up_nothing(
    tmp_path: Path, dataset: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like one that hangs in a driver. This one ends with the thread that started it."""
    monkeypatch.setattr(WorkerProcess, "kill", lambda _: None)
    monkeypatch.setattr("headrace_trainer.supervisor.worker_process.KILLED_SECONDS", 0.2)
    monkeypatch.setattr("headrace_trainer.supervisor.follow.KILLED_SECONDS", 0.2)
    behaviour = Behaviour(at=9, trouble="hang", deaf=True)
    with Attempt(tmp_path / "a", job_document(), behaviour, dataset=str(dataset), output=str(output), grace_seconds=2.0) as attempt:
        attempt.until(lambda: attempt.status.progress.iteration == 9, "iteration 9")
        attempt.until(lambda: latest_iteration(output) == 8, "checkpoint 8")
        attempt.stop.request()
        attempt.until_over()
    assert_stopped(attempt, 8)
    assert "SIGKILL" in attempt.log


def test_twice_does_not_wait_for_the_worker(tmp_path: Path, dataset: Path, output: Path) -> None:
    behaviour = Behaviour(at=9, trouble="hang", deaf=True)
    with Attempt(
        tmp_path / "a", job_document(), behaviour, dataset=str(dataset), output=str(output), grace_seconds=3600
    ) as attempt:
        attempt.until(lambda: attempt.status.progress.iteration == 9, "iteration 9")
        attempt.stop.request()
        attempt.until_log("asked to stop")
        attempt.stop.request()
        attempt.until_over()
    assert_stopped(attempt, 8)


def test_while_the_store_is_away_the_grace_period_is_kept(tmp_path: Path, dataset: Path, s3: FakeS3) -> None:
    behaviour = Behaviour(at=9, trouble="hang")
    with Attempt(
        tmp_path / "a",
        job_document(),
        behaviour,
        environment=s3.environment(),
        dataset=str(dataset),
        output="s3://runs",
        grace_seconds=3.0,
    ) as attempt:
        attempt.until(lambda: "runs" not in s3.objects and f"{RUN_FOLDER}checkpoints/latest.json" in s3.objects, "a checkpoint")
        attempt.until(lambda: (attempt.status.checkpoint or attempt.status).model_dump().get("iteration") == 8, "checkpoint 8")
        s3.errors, s3.keep_failing = [(503, "SlowDown")], True
        began = time.monotonic()
        attempt.stop.request()
        attempt.until_over()
        assert time.monotonic() - began < 3.0
    assert_stopped(attempt, 8)
    assert "the grace period was too short to upload everything" in attempt.outcome.message


def pod_environment(folder: Path, behaviour: Behaviour) -> dict[str, str]:
    """The grace period of the operator's pods."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "PYTHONPATH": str(Path(__file__).parents[1] / "support"),
        ENV_BEHAVIOUR: behaviour.model_dump_json(),
        names.ENV_JOB_FILE: str(folder / "job.json"),
        names.ENV_ATTEMPT: "1",
        names.ENV_WORKSPACE: str(folder / "workspace"),
        names.ENV_TERMINATION_LOG: str(folder / "termination-log"),
        names.ENV_LISTEN_HOST: "127.0.0.1",
        names.ENV_LISTEN_PORT: "0",
        names.ENV_GRACE_SECONDS: "30",
        names.ENV_CPUS: "1",
    }


def start_pod(folder: Path, s3: FakeS3, behaviour: Behaviour) -> "subprocess.Popen[str]":
    """The trainer as a separate process; its dataset is in `s3`."""
    s3.objects |= {f"none/{key}": content for key, content in dataset_files().items()}
    (folder / "job.json").write_text(json.dumps(job_document(maxIterations=10_000, checkpointEvery=3)))
    return subprocess.Popen(
        [sys.executable, "-m", "headrace_testing.supervisor_with_stand_in"],
        env=pod_environment(folder, behaviour) | s3.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )


SIGNAL_AT_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "pydantic":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Finder())
"""
"""A sitecustomize.py that sends SIGTERM at the moment when the first large package is imported."""


def test_while_the_supervisor_itself_is_imported(tmp_path: Path, dataset: Path, output: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SIGNAL_AT_IMPORT)
    (tmp_path / "job.json").write_text(json.dumps(job_document()))
    environment = pod_environment(tmp_path, Behaviour()) | {"PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-m", "headrace_trainer", "--dataset", str(dataset), "--output", str(output)]
    ended = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == ExitCode.OK, ended
    outcome = Outcome.model_validate_json((tmp_path / "termination-log").read_bytes())
    assert outcome.outcome is Verdict.STOPPED
    assert not list((tmp_path / "workspace").iterdir())


def read_until(process: "subprocess.Popen[str]", text: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"ended without {text!r}: {lines}")


def test_as_a_real_signal_to_a_real_process(tmp_path: Path, s3: FakeS3) -> None:
    began = time.monotonic()
    process = start_pod(tmp_path, s3, Behaviour(step_seconds=0.05))
    try:
        lines = read_until(process, "serving http")
        print(f"supervisor up after {time.monotonic() - began:.2f} s")
        lines += read_until(process, "is safe in")
        signalled = time.monotonic()
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
        print(f"SIGTERM to exit: {time.monotonic() - signalled:.2f} s")
        assert process.returncode == ExitCode.OK
    finally:
        process.kill()
        process.wait()
    outcome = Outcome.model_validate_json((tmp_path / "termination-log").read_bytes())
    assert outcome.outcome is Verdict.STOPPED
    assert outcome.checkpoint is not None
    assert outcome.checkpoint.iteration == outcome.progress.iteration
    assert f"{RUN_FOLDER}checkpoints/{outcome.checkpoint.iteration:08d}/state.json" in s3.objects
    assert not list((tmp_path / "workspace").iterdir())
    assert "secret" not in "".join(lines) + rest


def test_the_worker_dies_with_a_killed_supervisor_and_the_next_life_wipes_and_resumes(tmp_path: Path, s3: FakeS3) -> None:
    process = start_pod(tmp_path, s3, Behaviour(step_seconds=0.05))
    try:
        read_until(process, "is safe in")
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(workers) == 1
        process.kill()
        process.wait()
        limit = time.monotonic() + 10
        while Path(f"/proc/{workers[0]}/exe").exists() and time.monotonic() < limit:
            try:
                Path(f"/proc/{workers[0]}/exe").readlink()
            except OSError:  # a zombie no longer has a program
                break
            time.sleep(0.01)
        else:
            assert time.monotonic() < limit, "the worker outlived its supervisor"
    finally:
        process.kill()
        process.wait()
    assert list((tmp_path / "workspace").iterdir()), "kill -9 must leave files behind"
    first_log = s3.objects.get(f"{RUN_FOLDER}attempts/1/logs/000000000000.log", b"")
    second = start_pod(tmp_path, s3, Behaviour(step_seconds=0.05))
    try:
        read_until(second, "worker: resumed at ")
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=60)
    finally:
        second.kill()
        second.wait()
    assert second.returncode == ExitCode.OK
    assert not list((tmp_path / "workspace").iterdir())
    parts = sorted(key for key in s3.objects if key.startswith(f"{RUN_FOLDER}attempts/1/log"))
    assert b"".join(s3.objects[key] for key in parts).startswith(first_log)
    assert b"resumed at" in s3.objects[parts[-1]]
