"""Learned loss weights: the formula, exact with missing labels, bounded, saved and reported."""

import math
from pathlib import Path

import pytest
import torch

from headrace_testing.host_sync import NoHostSync
from headrace_testing.kept_messages import KeptMessages
from headrace_testing.steps import LABELS, SmallTraining, random_batch, small_network, small_training
from headrace_trainer.protocol import Stepped
from headrace_trainer.worker.checkpoint import CheckpointState, CheckpointWriter, load_checkpoint, tensor_files
from headrace_trainer.worker.loss_weights import LARGEST, LossWeights
from headrace_trainer.worker.report import Reporter

WEIGHTS = {"tags": 2.0, "kind": 1.0}
PLAIN_SGD = {"sgd": {"learning_rate": 0.1, "momentum": 0, "weight_decay": 0}}


def learnt(tags: float = 0.0, kind: float = 0.0) -> tuple[LossWeights, dict[str, torch.nn.Parameter]]:
    """Loss weights with these log variances, and the parameters."""
    network = small_network(loss_weights="uncertainty")
    variances = {name: head.log_variance for name, head in network.heads.items()}
    with torch.no_grad():
        variances["tags"].fill_(tags)
        variances["kind"].fill_(kind)
    return LossWeights(network, WEIGHTS), variances


def terms(tags: float, kind: float) -> dict[str, torch.Tensor]:
    return {"tags/a": torch.tensor(tags / 4), "tags/b": torch.tensor(3 * tags / 4), "kind/c": torch.tensor(kind)}


def test_the_sum_equals_the_papers() -> None:
    weights, variances = learnt(tags=0.7, kind=-1.2)
    total = weights.total(terms(3.0, 0.5))
    assert total.item() == pytest.approx(2 * (math.exp(-0.7) * 3 + 0.35) + (math.exp(1.2) * 0.5 - 0.6))
    total.backward()
    assert variances["tags"].grad.item() == pytest.approx(2 * (0.5 - math.exp(-0.7) * 3))
    assert variances["kind"].grad.item() == pytest.approx(0.5 - math.exp(1.2) * 0.5)


def test_a_head_without_labels_in_a_batch_adds_nothing_not_even_to_its_variance() -> None:
    weights, variances = learnt(tags=0.7, kind=-1.2)
    total = weights.total(terms(0.0, 0.5))
    assert total.item() == pytest.approx(math.exp(1.2) * 0.5 - 0.6)
    total.backward()
    assert variances["tags"].grad.item() == 0


def test_a_head_without_labels_keeps_its_variance_whatever_the_others_learn() -> None:
    training = small_training(loss_weights="uncertainty", optimizer=PLAIN_SGD)
    for iteration in range(1, 4):
        training.step(random_batch(iteration, {"tags": [False] * 4}), iteration)
    assert training.network.heads["tags"].log_variance.item() == 0
    assert training.network.heads["kind"].log_variance.item() != 0


def test_variances_settle_where_losses_weigh_the_same() -> None:
    weights, variances = learnt()
    optimizer = torch.optim.SGD(variances.values(), lr=0.1)
    for _ in range(300):
        weights.total(terms(5.0, 0.05)).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert weights.read() == pytest.approx({"tags": 1 / (2 * 5.0), "kind": 1 / (2 * 0.05)}, rel=1e-3)


def test_a_loss_near_zero_does_not_drive_its_factor_to_infinity_and_it_recovers() -> None:
    weights, variances = learnt()
    optimizer = torch.optim.SGD(variances.values(), lr=1.0)
    for loss, want in ((1e-9, LARGEST), (0.05, 1 / (2 * 0.05))):
        for _ in range(20):
            weights.total(terms(loss, loss)).backward()
            optimizer.step()
            optimizer.zero_grad()
            weights.bound()
        assert weights.read()["kind"] == pytest.approx(want, rel=1e-3)


def test_given_weights_are_not_parameters() -> None:
    network = small_network()
    assert not [name for name, _ in network.named_parameters() if "variance" in name]
    assert LossWeights(network, WEIGHTS).read() == {}
    total = LossWeights(network, WEIGHTS).total(terms(3.0, 0.5))
    assert total.item() == pytest.approx(2 * 3.0 + 0.5)


def test_adding_up_never_waits_for_the_device() -> None:
    weights, _ = learnt(tags=0.7)
    with NoHostSync():
        weights.total(terms(3.0, 0.5)).backward()
        weights.bound()


def test_learned_weights_resume_from_a_checkpoint_bit_for_bit(tmp_path: Path) -> None:
    def train(small: SmallTraining, start: int, count: int) -> SmallTraining:
        for iteration in range(start, start + count):
            small.step(random_batch(iteration, {"tags": [iteration % 2 == 0] * 4}), iteration)
        return small

    whole = train(small_training(loss_weights="uncertainty"), 1, 6)
    first = train(small_training(loss_weights="uncertainty"), 1, 3)
    training, labels = first.step._training, {"tags": LABELS, "kind": LABELS}
    with CheckpointWriter(tmp_path, KeptMessages()) as writer:
        state = CheckpointState(iteration=3, trained_seconds=1, best=None, labels=labels, training=training)
        writer.save(tensor_files(first.network, first.averaged, first.optimizer), state, best=False)
        writer.wait()
    second = train(small_training(loss_weights="uncertainty"), 50, 1)
    load_checkpoint(
        tmp_path / "checkpoints/00000003", second.network, second.averaged, second.optimizer, labels=labels, training=training
    )
    want, got = whole.tensors(), train(second, 4, 3).tensors()
    assert "head-kind.log_variance" in want
    assert want["head-kind.log_variance"] != 0
    for name, tensor in want.items():
        assert torch.equal(tensor, got[name]), name


def test_learnt_weights_are_reported() -> None:
    pipe, training = KeptMessages(), small_training(loss_weights="uncertainty")
    reporter = Reporter(pipe, lambda: 0)
    training.step(reporter.next_batch(iter([random_batch(1)])), 1)
    reporter.report_if_due(training.step, 1, trained_seconds=0)
    (said,) = pipe.sent
    assert isinstance(said, Stepped)
    assert said.loss_weights.keys() == {"tags", "kind"}
    assert said.loss_weights == training.step.loss_weights.read()
