"""SIGTERM in each phase of a real worker."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from headrace_api.names import ExitCode, Reason
from headrace_api.report import Verdict
from headrace_scenes import write_digit_scenes
from headrace_testing.workers import BOXES, TAGS, WorkerUnderTest, running_worker, small_job
from headrace_trainer.protocol import Building, Evaluated, Evaluating, Exported, Saved, Stepped
from headrace_trainer.worker.checkpoint import CheckpointState

ENDLESS = {"maxIterations": 1_000_000, "imageSize": {"height": 32, "width": 32}, "batchSize": 2}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_digit_scenes(folder, train=6, val=4, size=32, others_share=0)
    return folder


def assert_stopped(worker: WorkerUnderTest) -> None:
    ended = worker.ended()
    assert (ended.verdict, ended.reason) == (Verdict.STOPPED, Reason.INTERRUPTED), worker.log
    assert worker.process.returncode == ExitCode.OK
    assert not worker.of(Exported)


def saved_iterations(worker: WorkerUnderTest, folder: Path) -> list[int]:
    """The iterations of the checkpoints reported as saved, after a check that each is complete."""
    for message in worker.of(Saved):
        state = CheckpointState.model_validate_json((folder / "output" / message.folder / "state.json").read_bytes())
        assert state.iteration == message.iteration
    return [message.iteration for message in worker.of(Saved)]


def start(scenes: Path, folder: Path, **training: Any) -> Any:
    return running_worker(small_job([TAGS], ENDLESS | training, backbone_top_level=3), scenes, folder)


def test_while_the_network_is_being_built_a_stop_ends_it_at_once(scenes: Path, tmp_path: Path) -> None:
    """A ResNet-101 takes seconds to build."""
    job = small_job([TAGS], ENDLESS)
    backbone = job.spec.model.backbone.model_copy(update={"name": "resnet101"})
    network = job.spec.model.model_copy(update={"backbone": backbone})
    large = job.model_copy(update={"spec": job.spec.model_copy(update={"model": network})})
    with running_worker(large, scenes, tmp_path) as worker:
        worker.wait_for(Building)
        worker.terminate()
        assert_stopped(worker)
        assert not worker.of(Stepped)
        assert saved_iterations(worker, tmp_path) == []


def test_while_torch_is_being_imported_a_stop_works_too(scenes: Path, tmp_path: Path) -> None:
    """From the moment the handler is installed. Before that, SIGTERM kills the process, which its supervisor expects."""
    with start(scenes, tmp_path) as worker:
        status = Path(f"/proc/{worker.process.pid}/status")
        deadline = time.monotonic() + 60
        while not _catches_sigterm(status.read_text()) and time.monotonic() < deadline:
            time.sleep(0.001)
        worker.terminate()
        assert_stopped(worker)
        assert len(worker.messages) == 1, "it built something"


def _catches_sigterm(status: str) -> bool:
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> 14 & 1)


def test_while_training_a_stop_ends_the_iteration_and_keeps_it(scenes: Path, tmp_path: Path) -> None:
    with start(scenes, tmp_path) as worker:
        worker.wait_for(Stepped)
        worker.terminate()
        worker.process.send_signal(signal.SIGINT)  # Ctrl-C is a stop too, and a second stop does no harm
        assert_stopped(worker)
        last = worker.of(Stepped)[-1].iteration
        assert saved_iterations(worker, tmp_path) == [last]
        assert isinstance(worker.messages[-2], Saved), "Ended must come after Saved"


def test_during_an_evaluation_a_stop_keeps_what_was_learnt_since_the_last_checkpoint(scenes: Path, tmp_path: Path) -> None:
    with start(scenes, tmp_path, evaluateEvery=2) as worker:
        worker.wait_for(Evaluating)
        worker.terminate()
        assert_stopped(worker)
        learnt = worker.of(Stepped)[-1].iteration
        assert learnt >= 2
        assert saved_iterations(worker, tmp_path)[-1] == learnt


def test_during_the_last_evaluation_a_stop_ends_it_as_stopped_with_all_iterations_kept(scenes: Path, tmp_path: Path) -> None:
    """It has many images, so that the evaluation is still running when the signal comes."""
    many = tmp_path / "many"
    write_digit_scenes(many, train=2, val=400, size=32, others_share=0)
    job = small_job([BOXES], {**ENDLESS, "maxIterations": 2, "imageSize": {"height": 64, "width": 64}})
    with running_worker(job, many, tmp_path / "run") as worker:
        worker.wait_for(Evaluating)
        worker.terminate()
        assert_stopped(worker)
        assert not worker.of(Evaluated)
        assert saved_iterations(worker, tmp_path / "run") == [2]


def test_right_after_a_checkpoint_a_stop_writes_no_second_one(scenes: Path, tmp_path: Path) -> None:
    """Every iteration is saved: whenever the signal comes, the newest checkpoint is the last iteration's, saved once."""
    with start(scenes, tmp_path, checkpointEvery=1) as worker:
        worker.wait_for(Saved)
        worker.terminate()
        assert_stopped(worker)
        iterations = saved_iterations(worker, tmp_path)
        assert iterations == list(range(1, worker.of(Stepped)[-1].iteration + 1))
