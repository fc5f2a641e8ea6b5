from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_testing.steps import random_batch, small_training
from headrace_trainer.heads.base import Head
from headrace_trainer.network.build import head_of

NAN, INFINITY = float("nan"), float("inf")


def spoil(head: torch.nn.Module, monkeypatch: pytest.MonkeyPatch, in_call: int, change: Callable[[Tensor], Tensor]) -> None:
    """Let `change` change the head's loss in one call, counted from 1."""
    whole = cast(Head, head).loss
    calls = 0

    def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], labelled: Tensor) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        terms = whole(outputs, targets, labelled)
        return {name: change(value) for name, value in terms.items()} if calls == in_call else terms

    monkeypatch.setattr(head, "loss", loss)


def test_losses_are_means_since_the_last_reading() -> None:
    training = small_training()
    singles = []
    twin = small_training()
    for iteration in (1, 2):
        training.step(random_batch(iteration), iteration)
        twin.step(random_batch(iteration), iteration)
        singles.append(twin.step.ledger.read())
    reading = training.step.ledger.read()
    assert reading.losses.keys() == {"tags/classification", "kind/classification", "total"}
    for name, value in reading.losses.items():
        assert value == pytest.approx((singles[0].losses[name] + singles[1].losses[name]) / 2)
    assert reading.gradient_norm == pytest.approx((singles[0].gradient_norm + singles[1].gradient_norm) / 2)


def test_losses_of_a_head_are_means_over_the_iterations_in_which_it_had_labels() -> None:
    """Counting its zeros in the others would make rare labels look learned."""
    nobody = {"tags": [False] * 4}
    alone, rare = small_training(), small_training()
    alone.step(random_batch(1), 1)
    want = alone.step.ledger.read().losses["tags/classification"]
    rare.step(random_batch(1), 1)
    for iteration in (2, 3):
        rare.step(random_batch(iteration, nobody), iteration)
    assert rare.step.ledger.read().losses["tags/classification"] == want
    rare.step(random_batch(4, nobody), 4)
    assert rare.step.ledger.read().losses.keys() == {"kind/classification", "total"}


def test_total_weighs_the_heads() -> None:
    training = small_training(head_weights={"tags": 0.5, "kind": 2})
    training.step(random_batch(1), 1)
    losses = training.step.ledger.read().losses
    assert losses["total"] == pytest.approx(0.5 * losses["tags/classification"] + 2 * losses["kind/classification"])


def test_gradients_longer_than_the_limit_are_scaled_down_to_it() -> None:
    limit = 0.01
    plain_sgd = {"sgd": {"learning_rate": 1, "momentum": 0, "weight_decay": 0}}
    training = small_training(gradient_clip=limit, optimizer=plain_sgd)
    before = [p.detach().clone() for p in training.network.parameters()]
    training.step(random_batch(1), 1)
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(training.network.parameters(), before, strict=True)])
    assert training.step.ledger.read().gradient_norm > 10 * limit
    assert moved.norm().item() == pytest.approx(limit, rel=1e-3)


def test_a_limit_of_zero_and_one_that_is_not_reached_change_nothing() -> None:
    tensors = []
    for clip in (0, 1e6):
        training = small_training(gradient_clip=clip)
        training.step(random_batch(1), 1)
        tensors.append(training.tensors())
    for name, tensor in tensors[0].items():
        assert torch.equal(tensor, tensors[1][name]), name


@pytest.mark.parametrize("optimizer", [{"adamw": {}}, {"sgd": {}}], ids=["adamw", "sgd"])
@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
def test_a_loss_that_is_not_finite_never_reaches_the_weights(
    monkeypatch: pytest.MonkeyPatch, optimizer: dict[str, Any], value: float
) -> None:
    training = small_training(optimizer=optimizer)
    spoil(training.network.heads["kind"], monkeypatch, in_call=3, change=lambda loss: loss * value)
    for iteration in (1, 2):
        training.step(random_batch(iteration), iteration)
    good = [p.detach().clone() for p in training.network.parameters()]
    for iteration in (3, 4, 5):  # the host has not checked yet; the fourth and fifth would be finite again
        training.step(random_batch(iteration), iteration)
    for parameter, want in zip(training.network.parameters(), good, strict=True):
        assert torch.equal(parameter, want)
    with pytest.raises(FatalError, match=r"head 'kind' \(classification\) is not finite at iteration 3;") as caught:
        training.step.ledger.read()
    assert caught.value.reason is Reason.LOSS_NOT_FINITE


def test_only_the_first_bad_iteration_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    training = small_training()
    spoil(training.network.heads["tags"], monkeypatch, in_call=4, change=lambda loss: loss * NAN)
    spoil(training.network.heads["kind"], monkeypatch, in_call=2, change=lambda loss: loss * NAN)
    for iteration in range(1, 6):
        training.step(random_batch(iteration), iteration)
    with pytest.raises(FatalError, match=r"head 'kind' .* at iteration 2;") as caught:
        training.step.ledger.check()
    assert "tags" not in caught.value.message


def test_a_gradient_that_is_not_finite_is_blamed_on_its_head_although_the_loss_was_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    training = small_training()
    # The square root at zero: finite, with an infinite slope.
    spoil(training.network.heads["tags"], monkeypatch, in_call=2, change=lambda loss: loss + (loss - loss.detach()).sqrt())
    good: list[Tensor] = []
    for iteration in (1, 2):
        good = [p.detach().clone() for p in training.network.parameters()]
        training.step(random_batch(iteration), iteration)
    for parameter, want in zip(training.network.parameters(), good, strict=True):
        assert torch.equal(parameter, want)
    with pytest.raises(FatalError, match="the gradient of head 'tags' is not finite at iteration 2"):
        training.step.ledger.read()


def test_overflowed_statistics_are_reported_although_loss_and_gradients_are_finite() -> None:
    training = small_training()
    training.step(random_batch(1), 1)
    training.step.ledger.check()
    name, variances = next((n, b) for n, b in training.network.named_buffers() if n.endswith("running_var"))
    variances[0] = INFINITY  # like the variance of features above 1e19 in float32
    training.step(random_batch(2), 2)
    assert all(p.isfinite().all() for p in training.network.parameters())
    with pytest.raises(FatalError, match=rf"not finite at iteration 2 \(1 statistics, {name} first\)") as caught:
        training.step.ledger.check()
    assert caught.value.reason is Reason.LOSS_NOT_FINITE


def test_a_weight_of_zero_does_not_hide_a_loss_that_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    training = small_training(head_weights={"tags": 0})
    spoil(training.network.heads["tags"], monkeypatch, in_call=1, change=lambda loss: loss * NAN)
    training.step(random_batch(1), 1)
    with pytest.raises(FatalError, match="head 'tags'"):
        training.step.ledger.read()


def test_images_that_a_head_has_no_labels_for_do_not_change_its_weights() -> None:
    nobody = [False] * 4
    training = small_training(optimizer={"sgd": {"weight_decay": 0}}, gradient_clip=0)
    before = {name: p.detach().clone() for name, p in training.network.named_parameters()}
    training.step(random_batch(1, {"tags": nobody}), 1)
    assert "tags/classification" not in training.step.ledger.read().losses
    for name, parameter in training.network.named_parameters():
        if (head := head_of(name)) is not None:
            changed = not torch.equal(parameter, before[name])
            assert changed == (head == "kind"), name


def test_a_mixed_batch_gives_a_head_what_its_labelled_images_alone_would() -> None:
    """Measured on the head's own weights: the backbone's batch normalisation uses the whole batch, as it should."""
    mixed = random_batch(1, {"tags": [True, False, True, False]})
    spoilt = random_batch(1, {"tags": [True, False, True, False]})
    spoilt.targets["tags"]["labels"][1] = torch.tensor([NAN, -7.0, 1e30])  # padding must not be read
    weights = []
    for batch in (mixed, spoilt):
        training = small_training()
        training.step(batch, 1)
        training.step.ledger.check()
        weights.append(training.tensors())
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


def test_randomness_depends_only_on_seed_and_iteration() -> None:
    """The step draws the colour jitter: iteration 5 is the same, whatever was drawn before."""
    tensors = []
    for drawn_before in (0, 1000):
        training = small_training(augmentation={"color": 0.5})
        torch.rand(drawn_before)
        training.step(random_batch(1), 5)
        tensors.append(training.tensors())
    for name, tensor in tensors[0].items():
        assert torch.equal(tensor, tensors[1][name]), name


def test_another_seed_or_iteration_draws_differently() -> None:
    losses = set()
    for seed, iteration in ((0, 1), (0, 2), (1, 1)):
        training = small_training(augmentation={"color": 0.5}, seed=seed)
        training.network.load_state_dict(small_training().network.state_dict())
        training.step(random_batch(1), iteration)
        losses.add(training.step.ledger.read().losses["total"])
    assert len(losses) == 3


def test_bfloat16_trains_float32_weights() -> None:
    training = small_training(dtype=torch.bfloat16)
    plain = small_training()
    for each in (training, plain):
        each.step(random_batch(1), 1)
    assert {p.dtype for p in training.network.parameters()} == {torch.float32}
    totals = [each.step.ledger.read().losses["total"] for each in (training, plain)]
    assert totals[0] != totals[1]
    assert totals[0] == pytest.approx(totals[1], rel=0.05)
