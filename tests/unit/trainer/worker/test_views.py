import copy

import pytest
import torch
from torch import Tensor

from headrace_api.heads import AnomalyDetection, Autoencoding, Head, ViewInvariance
from headrace_testing.host_sync import NoHostSync
from headrace_testing.steps import HEADS, LABELS, random_batch, small_network, small_training
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.build import HeadPlan
from headrace_trainer.worker.views import random_view, running_averages_kept

SELF_SUPERVISED = (
    HeadPlan(Head(name="views", weight=0, view_invariance=ViewInvariance(dimensions=16)), LabelSpace()),
    HeadPlan(Head(name="again", weight=0, autoencoding=Autoencoding()), LabelSpace()),
    HeadPlan(Head(name="odd", annotations="c", weight=0, anomaly_detection=AnomalyDetection()), LabelSpace()),
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(size: tuple[int, int] = (40, 60)) -> Tensor:
    """One image whose red increases from left to right and whose green increases from top to bottom."""
    y, x = torch.meshgrid(torch.linspace(0, 1, size[0]), torch.linspace(0, 1, size[1]), indexing="ij")
    return torch.stack([x, y, torch.full_like(x, 0.5)])


def uncoloured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_COLOR", "_GRAY"):
        monkeypatch.setattr(f"headrace_trainer.worker.views.{name}", 0.0)


def test_views_are_crops_of_the_promised_area(monkeypatch: pytest.MonkeyPatch) -> None:
    uncoloured(monkeypatch)
    views = random_view(ramp().expand(300, -1, -1, -1), flip=False, generator=seeded(0))
    # On a ramp, the range of a colour is the side of the crop.
    width = (views[:, 0].amax(dim=(1, 2)) - views[:, 0].amin(dim=(1, 2))) * 60 / 59
    height = (views[:, 1].amax(dim=(1, 2)) - views[:, 1].amin(dim=(1, 2))) * 40 / 39
    area = width * height
    assert area.min() > 0.25
    assert area.max() > 0.9
    assert area.mean().item() == pytest.approx(0.65, abs=0.05)
    assert (views[:, 0, :, -1] > views[:, 0, :, 0]).all(), "not mirrored"


def test_half_of_the_views_are_mirrored_if_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    uncoloured(monkeypatch)
    views = random_view(ramp().expand(300, -1, -1, -1), flip=True, generator=seeded(0))
    mirrored = (views[:, 0, 20, -1] < views[:, 0, 20, 0]).float().mean()
    assert mirrored.item() == pytest.approx(0.5, abs=0.1)
    assert (views[:, 1, -1, 30] > views[:, 1, 0, 30]).all(), "never upside down"


def test_some_views_are_gray_and_all_stay_within_range() -> None:
    images = torch.rand(300, 3, 16, 16, generator=seeded(1))
    views = random_view(images, flip=True, generator=seeded(0))
    assert views.min() >= 0
    assert views.max() <= 1
    gray = (views[:, :1] == views).all(dim=(1, 2, 3)).float().mean()
    assert gray.item() == pytest.approx(0.2, abs=0.07)


def test_views_are_repeatable_and_drawn_without_waiting_for_the_device() -> None:
    images = torch.rand(4, 3, 16, 16)
    with NoHostSync():
        first, second, other = (random_view(images, True, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_pass_that_keeps_the_running_averages_normalises_by_its_batch() -> None:
    network, images = small_network(), torch.rand(4, 3, 32, 32)
    want = network(images)["tags"]["logits"]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with running_averages_kept(network):
        got = network(images)["tags"]["logits"]
    assert torch.equal(got, want)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    network(images)
    assert not torch.equal(network.backbone.get_buffer("bn1.running_mean"), before["backbone.bn1.running_mean"])


def batch_for_all(seed: int) -> Batch:
    batch = random_batch(seed)
    shown = torch.ones(4, 32, 32, dtype=torch.bool)
    masks = {"mask": ~shown, "has_mask": torch.ones(4, dtype=torch.bool), "shown": shown}
    targets = {
        "views": {"label": torch.full((4,), -1)},
        "again": {"label": torch.full((4,), -1), "shown": shown},
        "odd": {"anomalous": torch.zeros(4, dtype=torch.bool), **masks},
    }
    everyone = {name: torch.ones(4, dtype=torch.bool) for name in targets}
    return Batch(batch.images, {**batch.targets, **targets}, {**batch.labelled, **everyone}, batch.names)


def test_heads_with_two_views_change_nothing_for_the_others() -> None:
    """At weight 0: all other weights, averages and batch statistics are the same as without them, bit for bit."""
    alone, beside = (
        small_training(augmentation={"color": 0.5}),
        small_training(augmentation={"color": 0.5}, heads=HEADS + SELF_SUPERVISED, head_weights={"views": 0, "again": 0, "odd": 0}),
    )
    for iteration in (1, 2):
        alone.step(random_batch(iteration), iteration)
        beside.step(batch_for_all(iteration), iteration)
    losses = beside.step.ledger.read().losses
    assert {name for name, value in losses.items() if name.startswith(("views/", "again/", "odd/")) and value > 0} >= {
        "views/invariance",
        "views/variance",
        "again/reconstruction",
    }
    both = beside.tensors()
    for name, tensor in alone.tensors().items():
        assert torch.equal(tensor, both[name]), name


def test_nothing_is_computed_twice_if_no_head_uses_two_views(monkeypatch: pytest.MonkeyPatch) -> None:
    training = small_training()
    passes = []
    training.network.backbone.register_forward_hook(lambda module, inputs, outputs: passes.append(len(inputs[0])))
    training.step(random_batch(1), 1)
    assert passes == [4]


def test_heads_that_want_the_same_view_share_it() -> None:
    two = tuple(HeadPlan(Head(name=name, view_invariance=ViewInvariance(dimensions=16)), LABELS) for name in ("a", "b"))
    training = small_training(heads=two)
    passes = []
    training.network.backbone.register_forward_hook(lambda module, inputs, outputs: passes.append(len(inputs[0])))
    batch, label = random_batch(1), torch.full((4,), -1)
    everyone = torch.ones(4, dtype=torch.bool)
    training.step(Batch(batch.images, {name: {"label": label} for name in "ab"}, dict.fromkeys("ab", everyone), batch.names), 1)
    assert passes == [4, 4]


@pytest.mark.parametrize("iterations", [(1, 2), (2, 1)], ids=str)
def test_second_views_depend_only_on_seed_and_iteration(iterations: tuple[int, int]) -> None:
    tensors = []
    for drawn_before in (0, 1000):
        training = small_training(heads=HEADS + SELF_SUPERVISED, head_weights={"views": 1, "again": 1, "odd": 1})
        torch.rand(drawn_before)
        for iteration in iterations:
            training.step(batch_for_all(iteration), iteration)
        tensors.append(training.tensors())
    for name, tensor in tensors[0].items():
        assert torch.equal(tensor, tensors[1][name]), name


def test_a_resumed_run_uses_the_views_of_an_uninterrupted_one() -> None:
    """Weights, averages and batch statistics, bit for bit, from a checkpoint between two iterations."""
    heads, weights = HEADS + SELF_SUPERVISED, {"views": 1, "again": 1, "odd": 1}
    whole, resumed = (small_training(heads=heads, head_weights=weights, augmentation={"color": 0.5}) for _ in range(2))
    for iteration in (1, 2):
        whole.step(batch_for_all(iteration), iteration)
    resumed.network.load_state_dict(whole.network.state_dict())
    resumed.optimizer.load_state_dict(copy.deepcopy(whole.optimizer.state_dict()))
    assert whole.averaged is not None
    assert resumed.averaged is not None
    resumed.averaged.network.load_state_dict(whole.averaged.network.state_dict())
    torch.rand(1000)
    for training in (whole, resumed):
        for iteration in (3, 4):
            training.step(batch_for_all(iteration), iteration)
    want, got = whole.tensors(), resumed.tensors()
    assert not torch.equal(want["head-views.expander.0.weight"], small_network(heads=heads).heads["views"].expander[0].weight)
    for name, tensor in want.items():
        assert torch.equal(tensor, got[name]), name


def test_labels_of_images_with_two_views_are_not_learned() -> None:
    """Self-supervised heads are labelled everywhere; the labels' values have no effect."""
    tensors = []
    for label in (-1, 2):
        training = small_training(heads=HEADS + SELF_SUPERVISED)
        batch = batch_for_all(1)
        for name in ("views", "again"):
            batch.targets[name]["label"][:] = label
        training.step(batch, 1)
        tensors.append(training.tensors())
    for name, tensor in tensors[0].items():
        assert torch.equal(tensor, tensors[1][name]), name
