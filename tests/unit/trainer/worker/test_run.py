"""What is refused or said before the first iteration, in this process: real workers are in tests/integration/test_worker*.py."""

from pathlib import Path
from typing import Any

import pytest

from headrace_api.names import Reason
from headrace_local.digit_scenes import write_digit_scenes
from headrace_testing.kept_messages import KeptMessages
from headrace_testing.workers import TAGS, small_job
from headrace_trainer.errors import FatalError
from headrace_trainer.protocol import Building, Plan
from headrace_trainer.worker import device
from headrace_trainer.worker.run import _build
from headrace_trainer.worker.stopping import Stop

WARNING = "WARNING: training.schedule.warmupIterations = "


@pytest.fixture(autouse=True)
def _untouched_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many threads torch has can be set once a process."""
    monkeypatch.setattr(device, "configure", lambda *_: None)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_digit_scenes(folder, train=2, val=1, size=32, others_share=0)
    return folder


def said_while_building(scenes: Path, output: Path, training: dict[str, Any], backbone_top_level: int = 3) -> list[str]:
    job = small_job([TAGS], {"imageSize": {"height": 32, "width": 32}} | training, backbone_top_level=backbone_top_level)
    messages = KeptMessages()
    plan = Plan(job=job, dataset_dir=scenes, output_dir=output, threads=1)
    with _build(plan, messages, Stop()).writer:
        return [message.message for message in messages.sent if isinstance(message, Building)]


@pytest.mark.parametrize(
    ("warmup", "iterations", "said"),
    [
        (9, 10, []),
        (10, 10, [f"{WARNING}10 is not below maxIterations = 10: the learning rate rises until the end, to 100% of its peak"]),
        (500, 10, [f"{WARNING}500 is not below maxIterations = 10: the learning rate rises until the end, to 2% of its peak"]),
    ],
)
def test_a_warm_up_that_training_does_not_outlast_is_said(
    scenes: Path, tmp_path: Path, warmup: int, iterations: int, said: list[str]
) -> None:
    training = {"maxIterations": iterations, "schedule": {"warmupIterations": warmup}}
    lines = said_while_building(scenes, tmp_path, training)
    assert [line for line in lines if line.startswith(WARNING)] == said


def test_a_batch_too_small_for_batch_normalisation_is_refused_before_the_dataset_is_read(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"raise batchSize or imageSize, or lower backbone\.topLevel") as caught:
        said_while_building(tmp_path / "no dataset", tmp_path, {"batchSize": 1}, backbone_top_level=5)
    assert caught.value.reason is Reason.BAD_MODEL
