import contextlib
import errno
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from headrace_api.errors import FatalError, RetryableError
from headrace_api.heads import Head, MultilabelClassification
from headrace_api.names import Reason
from headrace_api.training import Training
from headrace_testing.kept_messages import KeptMessages
from headrace_testing.steps import HEADS, LABELS, SmallTraining, random_batch, small_network, small_training
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.build import HeadPlan
from headrace_trainer.protocol import Saved
from headrace_trainer.worker import checkpoint
from headrace_trainer.worker.checkpoint import Best, CheckpointState, CheckpointWriter, load_checkpoint, tensor_files
from headrace_trainer.worker.history import History
from headrace_trainer.worker.optimizer import build_optimizer, state_tensors

REORDERED = LabelSpace(classes=("green", "red", "blue"), things=(True, True, True))
LABELS_OF_HEADS = {"tags": LABELS, "kind": LABELS}


@pytest.fixture
def pipe() -> KeptMessages:
    return KeptMessages()


@pytest.fixture
def writer(tmp_path: Path, pipe: KeptMessages) -> Iterator[CheckpointWriter]:
    with CheckpointWriter(tmp_path, pipe) as writer:
        yield writer


def state(
    iteration: int, best: Best | None = None, training: Training | None = None, history: History | None = None
) -> CheckpointState:
    return CheckpointState(
        iteration=iteration,
        trained_seconds=12.5,
        best=best,
        labels=LABELS_OF_HEADS,
        training=training or Training(),
        history=history or History(),
    )


def trained(iterations: int = 2, **training: Any) -> SmallTraining:
    small = small_training(**training)
    for iteration in range(1, iterations + 1):
        small.step(random_batch(iteration), iteration)
    return small


def files(small: SmallTraining) -> dict[str, dict[str, torch.Tensor]]:
    return tensor_files(small.network, small.averaged, small.optimizer)


def load(
    folder: Path,
    small: SmallTraining,
    labels: Mapping[str, LabelSpace] = LABELS_OF_HEADS,
    training: Training | None = None,
) -> CheckpointState:
    return load_checkpoint(folder, small.network, small.averaged, small.optimizer, labels=labels, training=training or Training())


@pytest.mark.parametrize("optimizer", [{"adamw": {}}, {"sgd": {}}], ids=["adamw", "sgd"])
def test_what_is_saved_is_what_is_loaded(
    tmp_path: Path, writer: CheckpointWriter, pipe: KeptMessages, optimizer: dict[str, Any]
) -> None:
    small = trained(optimizer=optimizer)
    want = state(2, Best(iteration=1, score=0.25))
    writer.save(files(small), want, best=True)
    writer.wait()
    assert pipe.sent == [Saved(iteration=2, folder=Path("checkpoints/00000002"), best=True)]

    other = small_training(seed=7, optimizer=optimizer)
    assert load(tmp_path / "checkpoints/00000002", other) == want
    for name, tensor in small.tensors().items():
        assert torch.equal(other.tensors()[name], tensor), name
    moments = state_tensors(other.optimizer, other.network)
    assert moments.keys() == state_tensors(small.optimizer, small.network).keys()
    for name, tensor in state_tensors(small.optimizer, small.network).items():
        assert torch.equal(moments[name], tensor), name


def test_training_may_continue_while_a_checkpoint_is_written(
    tmp_path: Path, writer: CheckpointWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write = threading.Event()

    def slow(tensors: dict[str, torch.Tensor], path: Path) -> None:
        assert may_write.wait(60)
        save_file(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", slow)
    small = trained()
    want = small.tensors()
    writer.save(files(small), state(2), best=False)
    small.step(random_batch(3), 3)
    assert not list(tmp_path.glob("checkpoints/[0-9]*"))  # nothing has its final name before it is complete
    may_write.set()
    writer.wait()

    other = small_training(seed=7)
    load(tmp_path / "checkpoints/00000002", other)
    for name, tensor in want.items():
        assert torch.equal(other.tensors()[name], tensor), name


def test_a_second_checkpoint_of_an_iteration_replaces_the_first(tmp_path: Path, writer: CheckpointWriter) -> None:
    writer.save(files(trained()), state(2), best=False)
    again = trained(seed=3)
    writer.save(files(again), state(2), best=False)
    writer.wait()
    other = small_training(seed=7)
    load(tmp_path / "checkpoints/00000002", other)
    assert torch.equal(other.network.backbone.conv1.weight, again.network.backbone.conv1.weight)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["00000002"]


def test_a_full_disk_leaves_nothing_that_looks_complete_and_may_be_retried(
    tmp_path: Path, writer: CheckpointWriter, pipe: KeptMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "save_file", full)
    writer.save(files(trained()), state(2), best=False)
    with pytest.raises(RetryableError, match=r"raise spec\.resources\.workspace") as caught:
        writer.wait()
    assert caught.value.reason is Reason.DISK_FULL
    assert list((tmp_path / "checkpoints").iterdir()) == []
    assert pipe.sent == []


def test_other_write_errors_surface_at_the_next_poll(writer: CheckpointWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(checkpoint, "save_file", broken)
    writer.save(files(trained()), state(2), best=False)
    with pytest.raises(RuntimeError, match="no such thing"):
        writer.wait()
    writer.poll()  # reported once


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        pytest.param("network.safetensors", _truncate, id="weights cut short"),
        pytest.param("optimizer.safetensors", Path.unlink, id="no optimizer"),
        pytest.param("ema.safetensors", _truncate, id="averages cut short"),
        pytest.param("state.json", Path.unlink, id="no state"),
        pytest.param("state.json", _truncate, id="state cut short"),
    ],
)
def test_an_incomplete_checkpoint_is_refused_and_changes_nothing(
    tmp_path: Path, writer: CheckpointWriter, file: str, harm: Any
) -> None:
    writer.save(files(trained()), state(2), best=False)
    writer.wait()
    folder = tmp_path / "checkpoints/00000002"
    harm(folder / file)
    other = small_training(seed=7)
    before = other.tensors()
    with pytest.raises(RetryableError, match="checkpoint 00000002 cannot be read"):
        load(folder, other)
    for name, tensor in before.items():
        assert torch.equal(other.tensors()[name], tensor), name


def test_a_checkpoint_of_another_network_is_refused_and_the_difference_named(tmp_path: Path, writer: CheckpointWriter) -> None:
    writer.save(files(trained()), state(2), best=False)
    writer.wait()
    spec = Head(name="tags", annotations="a", multilabel_classification=MultilabelClassification(level=1))
    network = small_network(heads=(HeadPlan(spec, LABELS), HEADS[1]))
    head = network.heads["tags"]
    head.linear = torch.nn.Linear(10, 3)
    optimizer = build_optimizer(network, small_training().step._training.optimizer)
    folder = tmp_path / "checkpoints/00000002"
    with pytest.raises(FatalError, match=r"head-tags\.linear\.weight is \[3, 128\] there and \[3, 10\] in this job") as caught:
        load_checkpoint(folder, network, None, optimizer, labels=LABELS_OF_HEADS, training=Training())
    assert caught.value.reason is Reason.BAD_MODEL


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            {"tags": REORDERED, "kind": LABELS},
            r"head 'tags' has 3 classes \(red, green, blue\) there and",
        ),
        ({"tags": LABELS}, "head 'kind' has .* there and no entry in this job"),
        ({"tags": LABELS, "kind": LABELS, "new": LABELS}, "head 'new' has no entry there and 3 classes"),
    ],
    ids=["classes in another order", "a head less", "a head more"],
)
def test_a_checkpoint_of_other_classes_is_refused(
    tmp_path: Path, writer: CheckpointWriter, labels: dict[str, LabelSpace], message: str
) -> None:
    writer.save(files(trained()), state(2), best=False)
    writer.wait()
    with pytest.raises(FatalError, match=message):
        load(tmp_path / "checkpoints/00000002", small_training(), labels)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param(
            {"optimizer": {"sgd": {}}}, r'training\.optimizer is {"adamw": .* there and {"adamw": null, "sgd": ', id="optimizer"
        ),
        pytest.param(
            {"optimizer": {"adamw": {"learningRate": 0.25}}},
            r"training\.optimizer\.adamw\.learningRate is 0\.0005 there and 0\.25 in this job",
            id="learning rate",
        ),
        pytest.param({"emaDecay": 0}, r"training\.emaDecay is 0\.999 there and 0\.0 in this job", id="averaging turned off"),
        pytest.param(
            {"seed": 3, "batchSize": 2}, r"training\.batchSize is 16 there and 2 .*; training\.seed is 0 there and 3", id="two"
        ),
    ],
)
def test_a_checkpoint_with_other_training_settings_is_refused_and_changes_nothing(
    tmp_path: Path, writer: CheckpointWriter, changed: dict[str, Any], message: str
) -> None:
    writer.save(files(trained()), state(2), best=False)
    writer.wait()
    training = Training.model_validate(changed)
    other = small_training(seed=7, optimizer=training.optimizer, ema_decay=training.ema_decay)
    before = other.tensors()
    with pytest.raises(FatalError, match=message) as caught:
        load(tmp_path / "checkpoints/00000002", other, training=training)
    assert caught.value.reason is Reason.BAD_MODEL
    assert "restore them, or submit the job under another name or output to start over" in caught.value.message
    for name, tensor in before.items():
        assert torch.equal(other.tensors()[name], tensor), name
    assert not other.optimizer.state


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weight": 2.0}, r"head 'kind': weight is 1\.0 there and 2\.0 in this job; restore them"),
        ({"multiclass_classification": {"level": 2}}, r'multiclassClassification is {"level": null, .* there and {"level": 2, '),
        ({"multiclass_classification": {"label_smoothing": 0.1}}, r"Classification\.labelSmoothing is 0\.0 there and 0\.1 in"),
        ({"annotations": "the same under another name"}, None),
    ],
    ids=["weight", "level", "option", "a renamed layer"],
)
def test_different_heads_are_refused_even_if_their_shapes_fit(
    tmp_path: Path, writer: CheckpointWriter, changed: dict[str, Any], message: str | None
) -> None:
    heads = tuple(plan.spec for plan in HEADS)
    kind = Head.model_validate({**heads[1].model_dump(exclude_none=True), **changed})
    small = trained()
    writer.save(files(small), state(2).model_copy(update={"heads": heads}), best=False)
    writer.wait()
    folder, other = tmp_path / "checkpoints/00000002", small_training(seed=7)
    with pytest.raises(FatalError, match=message) if message else contextlib.nullcontext():
        load_checkpoint(
            folder,
            other.network,
            other.averaged,
            other.optimizer,
            labels=LABELS_OF_HEADS,
            training=Training(),
            heads=[heads[0], kind],
        )
    assert bool(other.optimizer.state) == (message is None), "nothing is changed unless all of it fits"


def test_averaging_cannot_be_turned_on_midway(tmp_path: Path, writer: CheckpointWriter) -> None:
    writer.save(files(trained(ema_decay=0)), state(2, training=Training(ema_decay=0)), best=False)
    writer.wait()
    with pytest.raises(FatalError, match=r"training\.emaDecay is 0\.0 there and 0\.999 in this job"):
        load(tmp_path / "checkpoints/00000002", small_training(), training=Training())


def test_how_long_and_how_often_may_change_between_attempts(tmp_path: Path, writer: CheckpointWriter) -> None:
    writer.save(files(trained()), state(2), best=False)
    writer.wait()
    longer = Training(max_iterations=7, max_training_hours=1, evaluate_every=2, checkpoint_every=3)
    assert load(tmp_path / "checkpoints/00000002", small_training(), training=longer).iteration == 2


@pytest.mark.parametrize("file", ["ema.safetensors", "optimizer.safetensors"])
def test_a_file_of_another_network_next_to_the_right_weights_changes_nothing(
    tmp_path: Path, writer: CheckpointWriter, file: str
) -> None:
    writer.save(files(trained()), state(2), best=False)
    writer.wait()
    folder = tmp_path / "checkpoints/00000002"
    save_file({name: torch.zeros(3, 5) for name in load_file(folder / file)}, folder / file)
    other = small_training(seed=7)
    before = other.tensors()
    with pytest.raises(FatalError, match=f"checkpoint 00000002 does not fit this network: {file}") as caught:
        load(folder, other)
    assert caught.value.reason is Reason.BAD_MODEL
    for name, tensor in before.items():
        assert torch.equal(other.tensors()[name], tensor), name
    assert not other.optimizer.state


def test_state_is_json_in_the_words_of_the_contract(tmp_path: Path, writer: CheckpointWriter) -> None:
    history = History()
    history.losses.add(1, 0.5, {"total": 2.5})
    writer.save(files(trained(ema_decay=0)), state(2, Best(iteration=1, score=0.5), history=history), best=False)
    writer.wait()
    folder = tmp_path / "checkpoints/00000002"
    assert json.loads((folder / "state.json").read_text()) == {
        "version": 1,
        "iteration": 2,
        "trainedSeconds": 12.5,
        "best": {"iteration": 1, "score": 0.5},
        "labels": {"tags": LABELS.to_json(), "kind": LABELS.to_json()},
        "training": Training().model_dump(mode="json", by_alias=True),
        "heads": [],
        "frozenLevels": 0,
        "history": {
            "losses": {
                "iterations": [1],
                "seconds": [0.5],
                "reports": [1],
                "lines": {"total": {"mean": [2.5], "least": [2.5], "most": [2.5], "reports": [1]}},
                "resolution": 1,
            },
            "scores": {"iterations": [], "seconds": [], "reports": [], "lines": {}, "resolution": 1},
        },
        "owesEvaluation": False,
    }
    assert {path.name for path in folder.iterdir()} == {"state.json", "network.safetensors", "optimizer.safetensors"}


def test_a_state_of_an_older_version_keeps_its_curves() -> None:
    """It had means only, and no times: they are spread evenly over the iterations."""
    stored = state(2).model_dump(mode="json", by_alias=True)  # 12.5 s of training
    stored["history"] = {
        "losses": {"iterations": [1, 2], "reports": [1, 1], "values": {"total": [2.5, 2.0]}, "resolution": 1},
        "scores": {"iterations": [], "reports": [], "values": {}, "resolution": 1},
    }
    history = CheckpointState.model_validate_json(json.dumps(stored)).history
    assert history.losses.seconds == [6.25, 12.5]
    assert history.losses.lines["total"].mean == history.losses.lines["total"].most == [2.5, 2.0]
    assert history.scores.iterations == []
    without = {name: value for name, value in stored.items() if name != "history"}
    assert CheckpointState.model_validate_json(json.dumps(without)).history == History(), "still older"


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"values": {"total": [1.0]}}, id="without iterations"),
        pytest.param({"iterations": [], "reports": [], "values": {"total": [1.0]}, "resolution": 1}, id="of different lengths"),
        pytest.param({"iterations": [], "reports": [], "values": 3, "resolution": 1}, id="a number instead of values"),
        pytest.param(3, id="a number"),
    ],
)
def test_curves_of_an_older_version_that_make_no_sense_are_refused_like_any_other_state(broken: Any) -> None:
    stored = state(2).model_dump(mode="json", by_alias=True) | {"history": {"losses": broken, "scores": broken}}
    with pytest.raises(ValidationError):
        CheckpointState.model_validate_json(json.dumps(stored))
