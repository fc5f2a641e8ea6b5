"""A run that is cut in two gives every tensor of the uninterrupted run: bit for bit, across a process boundary."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from headrace_api.names import Reason
from headrace_api.report import Verdict
from headrace_api.run import RunCurves
from headrace_scenes import write_digit_scenes
from headrace_testing.workers import BOXES, REGIONS, TAGS, TEXTURE, running_worker, small_job
from headrace_trainer.protocol import CurvesWritten, Ended, Evaluated, Exported, Opened, Saved, Stepped
from headrace_trainer.worker.checkpoint import CheckpointState

OPTIMIZERS = [
    pytest.param({"adamw": {"learningRate": 0.002}}, id="adamw"),
    pytest.param({"sgd": {"learningRate": 0.01}}, id="sgd"),
]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digit scenes of which half have each kind of label, so batches are mixed."""
    folder = tmp_path_factory.mktemp("scenes")
    write_digit_scenes(folder, train=12, val=2, size=48, labelled_share=0.5, others_share=0.5)
    return folder


def train(
    scenes: Path,
    folder: Path,
    training: dict[str, Any],
    resume_from: Path | None = None,
    reason: Reason = Reason.REACHED_MAX_ITERATIONS,
) -> list[Any]:
    """The messages of a worker that finished for `reason`."""
    settings = {
        "imageSize": {"height": 48, "width": 48},
        # Everything that could make a difference: schedule, averaging, and every random change of images.
        "schedule": {"warmupIterations": 2, "decay": "cosine"},
        "emaDecay": 0.9,
        "augmentation": {"horizontalFlip": True, "color": 0.5},
    }
    job = small_job([BOXES, REGIONS, TAGS, TEXTURE], settings | training)
    with running_worker(job, scenes, folder, resume_from=resume_from) as worker:
        ended = worker.ended()
        assert ended == Ended(verdict=Verdict.DONE, reason=reason), worker.log
        return worker.messages


def assert_same_tensors(got: Path, want: Path) -> None:
    names = sorted(path.name for path in want.glob("*.safetensors"))
    assert names == sorted(path.name for path in got.glob("*.safetensors"))
    assert names
    for name in names:
        ours, theirs = load_file(got / name), load_file(want / name)
        assert ours.keys() == theirs.keys()
        different = [key for key in ours if not torch.equal(ours[key], theirs[key])]
        assert not different, f"{name}: {different[:5]}"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_three_iterations_and_three_more_are_six(scenes: Path, tmp_path: Path, optimizer: Mapping[str, Any]) -> None:
    # The checkpoint comes from the uninterrupted run, so this also shows that saving changes nothing.
    training = {"maxIterations": 6, "checkpointEvery": 3, "evaluateEvery": 4, "optimizer": optimizer}
    whole = train(scenes, tmp_path / "whole", training)
    half, end = (Path(f"output/checkpoints/{iteration:08d}") for iteration in (3, 6))
    second = train(scenes, tmp_path / "second", training, resume_from=tmp_path / "whole" / half)

    assert_same_tensors(tmp_path / "second" / end, tmp_path / "whole" / end)
    assert_same_tensors(tmp_path / "second/output/model", tmp_path / "whole/output/model")
    stepped = [message.iteration for message in second if isinstance(message, Stepped)]
    assert stepped[0] == 4, "the first iteration of the second half is the fourth"
    assert stepped[-1] == 6
    assert scores_of(second) == scores_of(whole)
    curves = second[-2].pictures
    assert curves == [Path("pictures/00000006-curves.png")]
    assert (tmp_path / "second/output" / curves[0]).is_file()
    history = CheckpointState.model_validate_json((tmp_path / "second" / end / "state.json").read_bytes()).history
    assert history.losses.iterations[0] == 1, "the curves show both attempts"
    assert history.scores.iterations == [4]
    opened = [message for message in second if isinstance(message, Opened)]
    assert len(opened) == 1
    assert {head.name for head in opened[0].heads} == {"boxes", "regions", "tags", "texture"}
    assert_same_curves(second_curves := curves_in(tmp_path / "second/output"), curves_in(tmp_path / "whole/output"))
    assert second_curves.losses.seconds == sorted(second_curves.losses.seconds), "the clock goes on"
    assert CurvesWritten(file=Path("curves.json")) in second
    seconds = [trained_seconds(folder) for folder in (tmp_path / "whole" / half, tmp_path / "second" / end)]
    assert 0 < seconds[0] < seconds[1], "the time must cover both attempts"


def test_hours_are_counted_over_attempts_and_a_finished_run_goes_straight_to_evaluation_and_export(
    scenes: Path, tmp_path: Path
) -> None:
    training = {"maxIterations": 1000, "maxTrainingHours": 1e-6}  # less than an iteration takes
    hours = Reason.REACHED_MAX_TRAINING_HOURS
    first = train(scenes, tmp_path / "first", training, reason=hours)
    assert [message.iteration for message in first if isinstance(message, Stepped)] == [1]
    checkpoint = tmp_path / "first/output/checkpoints/00000001"
    again = train(scenes, tmp_path / "again", training, resume_from=checkpoint, reason=hours)
    (ready,) = (message for message in again if isinstance(message, Stepped))
    assert (ready.iteration, ready.losses, ready.images_per_second) == (1, {}, 0), "the trainer is Ready, and learned nothing"
    assert ready.trained_seconds > 0
    assert scores_of(again) == scores_of(first)
    saved = [message for message in again if isinstance(message, Saved)]
    assert saved == [Saved(iteration=1, folder=Path("checkpoints/00000001"), best=True)]
    assert isinstance(again[-2], Exported)
    assert_same_tensors(tmp_path / "again/output/model", tmp_path / "first/output/model")


def curves_in(output: Path) -> RunCurves:
    return RunCurves.model_validate_json((output / "curves.json").read_bytes())


def assert_same_curves(got: RunCurves, want: RunCurves) -> None:
    """Except for the times, and for when reports came: that depends on the machine."""
    assert got.scores.model_copy(update={"seconds": []}) == want.scores.model_copy(update={"seconds": []})
    assert got.losses.mean.keys() == want.losses.mean.keys()
    assert got.losses.iterations[-1] == want.losses.iterations[-1]


def scores_of(messages: list[Any]) -> list[Any]:
    return [message.scores for message in messages if isinstance(message, Evaluated)]


def trained_seconds(checkpoint: Path) -> float:
    return CheckpointState.model_validate_json((checkpoint / "state.json").read_bytes()).trained_seconds
