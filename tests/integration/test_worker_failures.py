"""How a real worker ends when it cannot go on."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from headrace_api.names import ExitCode, Reason
from headrace_api.report import Verdict
from headrace_scenes import write_digit_scenes
from headrace_testing.workers import TAGS, running_worker, small_job
from headrace_trainer.protocol import Evaluated, Exported, Saved, Stepped


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_digit_scenes(folder, train=6, val=2, size=32, others_share=0)
    return folder


def test_a_training_that_diverges_ends_for_good_and_keeps_the_last_good_checkpoint(scenes: Path, tmp_path: Path) -> None:
    diverging = {
        "maxIterations": 1000,
        "batchSize": 2,
        "imageSize": {"height": 32, "width": 32},
        "optimizer": {"sgd": {"learningRate": 100, "momentum": 0.99}},
        "gradientClip": 0,
        "checkpointEvery": 1,
    }
    with running_worker(small_job([TAGS], diverging, backbone_top_level=3), scenes, tmp_path) as worker:
        ended = worker.ended()
        assert (ended.verdict, ended.reason, ended.retry) == (Verdict.ERROR, Reason.LOSS_NOT_FINITE, False), worker.log
        assert worker.process.returncode == ExitCode.FATAL
        saved = worker.of(Saved)[-1]
        assert f"not finite at iteration {saved.iteration + 1}" in ended.message
        assert not worker.of(Evaluated)
        assert not worker.of(Exported)
        assert all(math.isfinite(loss) for message in worker.of(Stepped) for loss in message.losses.values())
    folder = tmp_path / "output" / saved.folder
    for file in folder.glob("*.safetensors"):
        for name, tensor in load_file(file).items():
            assert torch.isfinite(tensor).all(), f"{file.name}: {name}"
    assert len(list(folder.parent.iterdir())) == len(worker.of(Saved)), "a checkpoint is missing or half-written"
