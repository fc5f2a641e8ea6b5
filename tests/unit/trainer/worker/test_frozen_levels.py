"""Frozen levels never change; the others learn, even after an evaluation has drawn its pictures."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headrace_api import model
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.training import Training
from headrace_testing.kept_messages import KeptMessages
from headrace_testing.steps import CPU, HEADS, LABELS, SmallTraining, random_batch, small_evaluation
from headrace_trainer.network.backbones import build_backbone
from headrace_trainer.network.build import build_network
from headrace_trainer.worker.checkpoint import CheckpointState, CheckpointWriter, load_checkpoint, tensor_files
from headrace_trainer.worker.ema import AveragedNetwork
from headrace_trainer.worker.optimizer import build_optimizer, state_tensors
from headrace_trainer.worker.step import Step

SETTINGS = Training.model_validate({"schedule": {"warmup_iterations": 0, "decay": "constant"}, "ema_decay": 0.9})
LABELS_OF_HEADS = {"tags": LABELS, "kind": LABELS}


def training_of(frozen_levels: int, seed: int = 0, settings: Training = SETTINGS) -> SmallTraining:
    """Three levels of a ResNet-18, the first `frozen_levels` of them frozen."""
    torch.manual_seed(seed)
    spec = model.Network(backbone=model.Backbone(name="resnet18", top_level=3, frozen_levels=frozen_levels))
    network = build_network(spec, HEADS).to(memory_format=torch.channels_last)
    averaged = AveragedNetwork(network, settings.ema_decay)
    optimizer = build_optimizer(network, settings.optimizer)
    weights = {"tags": 1.0, "kind": 1.0}
    step = Step(
        network=network,
        head_weights=weights,
        optimizer=optimizer,
        averaged=averaged,
        training=settings,
        device=CPU,
        dtype=torch.float32,
    )
    return SmallTraining(network, averaged, optimizer, step)


def train(small: SmallTraining, start: int, end: int) -> None:
    for iteration in range(start + 1, end + 1):
        small.step(random_batch(iteration), iteration)


def level_of(name: str) -> int | None:
    """The level of a tensor, by its name; None outside the backbone."""
    parts = {"conv1": 1, "bn1": 1, "layer1": 2, "layer2": 3}
    where = name.removeprefix("averaged/")
    return parts[where.split(".")[1]] if where.startswith("backbone.") else None


@pytest.mark.parametrize("frozen", [0, 1, 2, 3])
def test_frozen_tensors_never_change_and_the_others_do(tmp_path: Path, frozen: int) -> None:
    """Weights, batch normalisation statistics and their averages; over several steps with an evaluation among them."""
    small = training_of(frozen)
    before = small.tensors()
    train(small, 0, 2)
    small_evaluation(tmp_path, KeptMessages())(small.network, [random_batch(9)], iteration=2)
    halfway = small.tensors()
    train(small, 2, 3)
    for name, tensor in small.tensors().items():
        level = level_of(name)
        is_frozen = level is not None and level <= frozen
        assert torch.equal(tensor, before[name]) == is_frozen, name
        assert torch.equal(tensor, halfway[name]) == is_frozen, f"{name}, after the evaluation"


@pytest.mark.parametrize("frozen", [0, 2])
def test_visualising_leaves_batch_normalisation_in_the_mode_it_was_in(tmp_path: Path, frozen: int) -> None:
    """A known bug elsewhere: after the first pictures it stayed in evaluation mode, and its statistics stopped changing."""
    small = training_of(frozen)
    small_evaluation(tmp_path, KeptMessages())(small.network, [random_batch(9)], iteration=1)
    assert list(tmp_path.rglob("*.jpg")), "pictures were drawn"
    modes = {name: part.training for name, part in small.network.named_modules() if isinstance(part, nn.BatchNorm2d)}
    assert modes == {name: (level_of(name) or 0) > frozen for name in modes}
    small.network.eval()
    assert not any(part.training for part in small.network.modules())
    small.network.train()
    assert modes == {name: small.network.get_submodule(name).training for name in modes}


def test_optimizer_ledger_and_checkpoint_have_no_frozen_parameters() -> None:
    small = training_of(2)
    train(small, 0, 1)
    frozen = {name for name, _ in small.network.named_parameters() if (level_of(name) or 9) <= 2}
    assert frozen
    assert all(parameter.requires_grad for group in small.optimizer.param_groups for parameter in group["params"])
    assert not {key.rpartition("/")[0] for key in state_tensors(small.optimizer, small.network)} & frozen
    small.step.ledger.check()


def test_a_bad_gradient_is_reported_with_its_parameter() -> None:
    """The ledger has only the names of trained parameters."""
    small = training_of(2)
    parameter = small.network.get_parameter("backbone.layer2.0.conv1.weight")
    parameter.register_hook(lambda gradient: gradient * float("nan"))
    train(small, 0, 1)
    with pytest.raises(FatalError, match=r"backbone\.layer2\.0\.conv1\.weight first"):
        small.step.ledger.check()


@pytest.mark.parametrize("optimizer", [{"adamw": {}}, {"sgd": {}}], ids=["adamw", "sgd"])
def test_resume_is_bit_for_bit(tmp_path: Path, optimizer: dict[str, Any]) -> None:
    settings = Training.model_validate(SETTINGS.model_dump() | {"optimizer": optimizer})
    whole = training_of(2, settings=settings)
    train(whole, 0, 4)
    first = training_of(2, settings=settings)
    train(first, 0, 2)
    folder = saved(tmp_path, first, settings, frozen_levels=2)
    # Start from other weights: everything frozen must come from the checkpoint, too.
    second = training_of(2, seed=7, settings=settings)
    assert second.averaged is not None
    load_checkpoint(
        folder, second.network, second.averaged, second.optimizer, labels=LABELS_OF_HEADS, training=settings, frozen_levels=2
    )
    train(second, 2, 4)
    got: dict[str, Tensor] = second.tensors()
    for name, tensor in whole.tensors().items():
        assert torch.equal(got[name], tensor), name


def saved(folder: Path, small: SmallTraining, settings: Training, frozen_levels: int) -> Path:
    state = CheckpointState(
        iteration=2, trained_seconds=1, best=None, labels=LABELS_OF_HEADS, training=settings, frozen_levels=frozen_levels
    )
    with CheckpointWriter(folder, KeptMessages()) as writer:
        writer.save(tensor_files(small.network, small.averaged, small.optimizer), state, best=False)
        writer.wait()
    return folder / "checkpoints/00000002"


def test_a_checkpoint_with_other_levels_frozen_is_refused(tmp_path: Path) -> None:
    small = training_of(1)
    train(small, 0, 2)
    folder = saved(tmp_path, small, SETTINGS, frozen_levels=1)
    with pytest.raises(FatalError, match=r"backbone\.frozenLevels is 1 there and 0 in this job") as caught:
        load_checkpoint(folder, small.network, small.averaged, small.optimizer, labels=LABELS_OF_HEADS, training=SETTINGS)
    assert caught.value.reason is Reason.BAD_MODEL


@pytest.mark.parametrize("name", ["convnext_tiny", "swin_t"])
def test_a_missing_level_cannot_be_frozen(name: str) -> None:
    with pytest.raises(FatalError, match=rf"frozenLevels is 1, but {name} has the levels 2, 3: set it to one of them"):
        build_backbone(model.Backbone(name=name, top_level=3, frozen_levels=1))


@pytest.mark.parametrize("name", ["swin_t", "efficientnet_v2_s"])
def test_stochastic_depth_is_off_in_frozen_stages(name: str) -> None:
    """Stochastic depth is off where nothing is trained: the same image gives the same features."""
    backbone = build_backbone(model.Backbone(name=name, top_level=3, frozen_levels=3)).train()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(backbone(images)[3], backbone(images)[3])
    assert not backbone(images)[3].requires_grad
