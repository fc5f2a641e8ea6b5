"""What is reported before the first iteration, and the order of saving and evaluating, in this process.

Real workers are in tests/integration/test_worker*.py.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_scenes import write_digit_scenes
from headrace_testing.dataset_folder import DatasetFolder
from headrace_testing.kept_messages import KeptMessages
from headrace_testing.workers import TAGS, small_job
from headrace_trainer.data.batches import loader
from headrace_trainer.heads.scores import Score
from headrace_trainer.protocol import Building, Plan, Saved, Stepped
from headrace_trainer.worker import device
from headrace_trainer.worker.checkpoint import Best, CheckpointState
from headrace_trainer.worker.evaluate import Evaluation, Scores
from headrace_trainer.worker.run import _build, run
from headrace_trainer.worker.stopping import Stop, StopRequested

WARNING = "WARNING: training.schedule.warmupIterations = "


@pytest.fixture(autouse=True)
def _untouched_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's number of threads can be set only once per process."""
    monkeypatch.setattr(device, "configure", lambda *_: None)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_digit_scenes(folder, train=2, val=1, size=32, others_share=0)
    return folder


def said_while_building(
    scenes: Path, output: Path, training: dict[str, Any], backbone_top_level: int = 3, heads: Sequence[dict[str, Any]] = (TAGS,)
) -> list[str]:
    job = small_job(list(heads), {"imageSize": {"height": 32, "width": 32}} | training, backbone_top_level=backbone_top_level)
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
def test_a_warm_up_longer_than_the_training_is_reported(
    scenes: Path, tmp_path: Path, warmup: int, iterations: int, said: list[str]
) -> None:
    training = {"maxIterations": iterations, "schedule": {"warmupIterations": warmup}}
    lines = said_while_building(scenes, tmp_path, training)
    assert [line for line in lines if line.startswith(WARNING)] == said


@pytest.mark.parametrize(("room", "said"), [(loader._MOST_BYTES, 0), (1, 1)])
def test_evaluations_of_fewer_images_than_a_batch_are_reported_once(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, said: int
) -> None:
    monkeypatch.setattr(loader, "_MOST_BYTES", room)
    lines = [line for line in said_while_building(scenes, tmp_path, {"batchSize": 2}) if line.startswith("evaluation takes")]
    assert lines == ["evaluation takes 1 image at a time, not batchSize = 2: targets of more would exceed 0 MiB"] * said


@pytest.mark.parametrize(
    ("names", "flip", "warned"),
    [
        (["0", "1", "2"], True, True),
        (["0", "1", "2"], False, False),
        (["tip"], True, False),
        (["left", "right", "tip"], True, False),
    ],
)
def test_keypoints_that_mirroring_would_not_swap_are_reported(tmp_path: Path, names: list[str], flip: bool, warned: bool) -> None:
    folder = DatasetFolder(tmp_path / "points")
    for split in ("train", "val"):
        line = " ".join(["0 0.5 0.5 0.4 0.4", *("0.5 0.5 2" for _ in names)])
        folder.image(f"images/{split}/{split}.png").text(f"labels/{split}/{split}.txt", line)
    splits = {"train": "labels/train", "val": "labels/val"}
    folder.layer("points", "keypoint-detection", "yolo", splits, classes=["bird"], keypoints=names)
    head = {"name": "points", "annotations": "points", "keypointDetection": {}}
    said = said_while_building(folder.root, tmp_path / "run", {"augmentation": {"horizontalFlip": flip}}, heads=[head])
    assert [message for message in said if "in a mirrored image" in message] == (
        [
            "WARNING: head 'points': each of its 3 keypoints keeps its index in a mirrored image, which is only right if none is "
            "the left or right one of a pair: set the layer's `mirrored`, or augmentation.horizontalFlip: false"
        ]
        if warned
        else []
    )


def test_texts_with_more_characters_than_the_image_has_columns_are_reported(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path / "texts")
    # 32 pixels are 8 columns: "abcdefgh" needs all of them, and "aabbccd" one more between each two equal letters.
    for name, text in {"a": "abcdefgh", "b": "abcdefghi", "c": "aabbccd", "v": "a" * 20}.items():
        folder.image(f"images/{name}.png")
        folder.text(f"{name}.jsonl", json.dumps({"image": f"{name}.png", "text": text}) + "\n")
    folder.text("train.jsonl", "".join(folder.path(f"{name}.jsonl").read_text() for name in "abc"))
    folder.layer("texts", "text-recognition", "jsonl", {"train": "train.jsonl", "val": "v.jsonl"})
    head = {"name": "words", "annotations": "texts", "textRecognition": {}}
    said = said_while_building(folder.root, tmp_path / "run", {}, heads=[head])
    (warning,) = [message for message in said if "WARNING: head 'words'" in message]
    assert "from 2 of 3 texts in the train split" in warning
    assert "'abcdefghi' needs 9 columns, but images 32 pixels wide have 8" in warning


def test_a_batch_too_small_for_batch_normalisation_is_refused_before_the_dataset_is_read(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"raise batchSize or imageSize, or lower backbone\.topLevel") as caught:
        said_while_building(tmp_path / "no dataset", tmp_path, {"batchSize": 1}, backbone_top_level=5)
    assert caught.value.reason is Reason.BAD_MODEL


class Trial:
    """Attempts at one job of four iterations, in one output folder, with the scores that a test wants."""

    def __init__(self, scenes: Path, output: Path, evaluate: Callable[[int], float], **training: Any) -> None:
        """`evaluate` gives the score at an iteration, or raises."""
        self._scenes, self._output, self._evaluate = scenes, output, evaluate
        self._training = {
            "imageSize": {"height": 32, "width": 32},
            "batchSize": 2,
            "maxIterations": 4,
            "checkpointEvery": 2,
            "evaluateEvery": 2,
            **training,
        }
        self.events: list[tuple[Any, ...]] = []
        """In order: ("evaluated", iteration), ("saved", iteration, best), and ("ready", iteration) if sent before any iteration."""

    def run(self, monkeypatch: pytest.MonkeyPatch, resume_from: int | None = None) -> None:
        """An attempt, from the start or from a checkpoint of an earlier one."""

        def evaluate(_: Evaluation, network: object, batches: object, iteration: int, *, draw: bool) -> Scores:
            self.take_in(messages)
            self.events.append(("evaluated", iteration))
            return Scores({"tags": {"mAP": self._evaluate(iteration)}}, {"tags": (Score("mAP"),)})

        monkeypatch.setattr(Evaluation, "__call__", evaluate)
        messages = KeptMessages()
        job = small_job([TAGS], self._training, backbone_top_level=3)
        folder = None if resume_from is None else self.checkpoint(resume_from)
        plan = Plan(job=job, dataset_dir=self._scenes, output_dir=self._output, resume_from=folder, threads=1)
        try:
            run(plan, messages, Stop())
        finally:
            self.take_in(messages)

    def take_in(self, messages: KeptMessages) -> None:
        for one in messages.sent:
            if isinstance(one, Saved):
                self.events.append(("saved", one.iteration, one.best))
            elif isinstance(one, Stepped) and not one.losses:
                self.events.append(("ready", one.iteration))
        messages.sent.clear()

    def checkpoint(self, iteration: int) -> Path:
        return self._output / f"checkpoints/{iteration:08d}"

    def state(self, iteration: int) -> CheckpointState:
        return CheckpointState.model_validate_json((self.checkpoint(iteration) / "state.json").read_bytes())


def test_a_checkpoint_is_written_before_its_evaluation_and_then_reported_as_the_best(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(scenes, tmp_path, lambda iteration: iteration / 10)
    trial.run(monkeypatch)
    assert trial.events == [
        *[("saved", 2, False), ("evaluated", 2), ("saved", 2, True)],
        *[("saved", 4, False), ("evaluated", 4), ("saved", 4, True)],
    ]


def test_the_best_is_kept_even_if_no_checkpoint_is_due(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(scenes, tmp_path, lambda iteration: 1 / iteration, checkpointEvery=1000)
    trial.run(monkeypatch)
    assert trial.events == [("evaluated", 2), ("saved", 2, True), ("saved", 4, False), ("evaluated", 4)]
    assert trial.state(2).best == Best(iteration=2, score=0.5)
    assert not trial.state(2).owes_evaluation


def test_an_evaluation_that_fails_costs_no_training(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> float:
        raise MemoryError

    trial = Trial(scenes, tmp_path, fail)
    with pytest.raises(MemoryError):
        trial.run(monkeypatch)
    assert trial.events == [("saved", 2, False), ("evaluated", 2)]
    assert trial.state(2).iteration == 2


def test_the_best_stays_the_best_after_a_crash(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is saved before its evaluation, so an attempt that resumes from it would take the next one for the best."""
    scores = iter([0.9, None, 0.9, 0.1])

    def evaluate(_: int) -> float:
        score = next(scores)
        if score is None:
            raise MemoryError
        return score

    trial = Trial(scenes, tmp_path, evaluate)
    with pytest.raises(MemoryError):
        trial.run(monkeypatch)
    trial.events.clear()
    trial.run(monkeypatch, resume_from=2)
    assert trial.events == [("ready", 2), ("evaluated", 2), ("saved", 2, True), ("saved", 4, False), ("evaluated", 4)]
    assert trial.state(4).best == Best(iteration=2, score=0.9)


@pytest.mark.parametrize("checkpoint_every", [2, 1000])
def test_the_next_attempt_makes_up_for_an_evaluation_that_a_stop_interrupted(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint_every: int
) -> None:
    stops = iter([True, False, False])

    def evaluate(_: int) -> float:
        if next(stops):
            raise StopRequested
        return 0.5

    trial = Trial(scenes, tmp_path, evaluate, checkpointEvery=checkpoint_every)
    with pytest.raises(StopRequested):
        trial.run(monkeypatch)
    assert trial.state(2).owes_evaluation
    trial.events.clear()
    trial.run(monkeypatch, resume_from=2)
    assert trial.events[:3] == [("ready", 2), ("evaluated", 2), ("saved", 2, True)], "Ready must not wait for the evaluation"
    assert trial.events.count(("evaluated", 4)) == 1
    assert trial.state(4).history.scores.iterations == [2]


def test_checkpoints_owe_an_evaluation_only_if_one_is_due_or_at_the_end(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial(scenes, tmp_path, lambda _: 0.5, checkpointEvery=1, evaluateEvery=3)
    trial.run(monkeypatch)
    assert [trial.state(iteration).owes_evaluation for iteration in (1, 2, 3, 4)] == [False, False, True, True]
    trial.events.clear()
    trial.run(monkeypatch, resume_from=2)
    assert trial.events[:2] == [("saved", 3, False), ("evaluated", 3)], "nothing was owed"
