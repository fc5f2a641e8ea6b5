from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from headrace_api import model
from headrace_api.heads import Head, ViewInvariance
from headrace_api.tasks import Task
from headrace_scenes import draw_texture
from headrace_testing.head_cases import make_features, make_head
from headrace_testing.steps import small_training
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.heads.view_invariance import NEIGHBOURS, TEMPERATURE, FeaturesMetric, ViewInvarianceHead
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.build import HeadPlan, build_network
from headrace_trainer.ops.pixels import normalise

TASK = Task.VIEW_INVARIANCE

# Half of them point one way and half the other.
OPPOSITE = torch.tensor([[1.0], [-1.0]]).repeat(25, 1)


def scores_of(features: Tensor, label: Tensor) -> dict[str, float]:
    metric = FeaturesMetric()
    for part in (slice(0, 5), slice(5, None)):
        given = torch.nn.functional.normalize(features[part], dim=1)
        metric.update({"features": given}, {"label": label[part]}, torch.ones(len(given), dtype=torch.bool))
    return metric.compute()


def clustered(images: int = 60, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(classes, (images,), generator=generator)
    centers = torch.randn(classes, 12, generator=generator)
    return centers[label] + 1.2 * torch.randn(images, 12, generator=generator), label


def test_knn_accuracy_equals_scikit_learn_leaving_one_out() -> None:
    features, label = clustered()
    unit = torch.nn.functional.normalize(features, dim=1).double().numpy()
    right = 0
    for asked in range(len(label)):
        others = np.arange(len(label)) != asked
        knn = KNeighborsClassifier(NEIGHBOURS, metric="cosine", weights=lambda distance: np.exp((1 - distance) / TEMPERATURE))
        right += knn.fit(unit[others], label.numpy()[others]).predict(unit[[asked]])[0] == label[asked].item()
    assert 0.5 < right / len(label) < 1
    assert scores_of(features, label)["knnAccuracy"] == pytest.approx(right / len(label))


def test_images_without_a_label_do_not_vote_and_are_not_scored() -> None:
    features, label = clustered()
    with_others = torch.cat([features, torch.randn(30, 12)]), torch.cat([label, torch.full((30,), -1)])
    want = scores_of(features, label)["knnAccuracy"]
    assert scores_of(*with_others)["knnAccuracy"] == want
    assert scores_of(*with_others)["score"] == want


def test_without_labels_the_score_is_the_deviation() -> None:
    features, label = clustered()
    scores = scores_of(features, torch.full_like(label, -1))
    assert np.isnan(scores["knnAccuracy"])
    unit = torch.nn.functional.normalize(features, dim=1).numpy()
    assert scores["score"] == scores["deviation"] == pytest.approx(unit.std(axis=0).mean() * 12**0.5)


@pytest.mark.parametrize(
    ("features", "low", "high"),
    [
        pytest.param(torch.ones(50, 16), 0.0, 1e-6, id="all the same"),
        # A unit vector of 18 numbers is slightly longer than 1 in single precision.
        pytest.param(OPPOSITE * torch.ones(50, 18), 1 - 1e-6, 1.0, id="two opposite directions"),
        pytest.param(torch.eye(16).repeat(4, 1)[:50], 0.9, 1.0, id="spread evenly"),
        pytest.param(OPPOSITE * torch.eye(16)[:1], 0.0, 0.26, id="one dimension of sixteen"),
    ],
)
def test_deviation_shows_collapse(features: Tensor, low: float, high: float) -> None:
    assert low <= scores_of(features, torch.full((50,), -1))["deviation"] <= high


def loss_of(first: Tensor, second: Tensor) -> dict[str, float]:
    everyone = torch.ones(len(first), dtype=torch.bool)
    terms = make_head(TASK).loss({"vectors": first, "vectors@2": second}, {}, everyone)
    return {name: term.item() for name, term in terms.items()}


def test_loss_equals_the_papers() -> None:
    first, second = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)).double()
    want_variance, want_covariance = [], []
    for vectors in (first.numpy(), second.numpy()):
        covariance = np.cov(vectors.T)
        want_variance.append(np.maximum(0, 1 - np.sqrt(np.diag(covariance) + 1e-4)).mean())
        want_covariance.append(np.square(covariance - np.diag(np.diag(covariance))).sum() / 5)
    terms = loss_of(first, second)
    assert terms["invariance"] == pytest.approx((first - second).square().mean().item(), rel=1e-5)
    assert terms["variance"] == pytest.approx(np.mean(want_variance), rel=1e-5)
    assert terms["covariance"] == pytest.approx(np.mean(want_covariance) / 25, rel=1e-5)


def test_collapsed_features_are_punished_and_good_ones_are_not() -> None:
    assert loss_of(torch.ones(8, 4), torch.ones(8, 4))["variance"] == pytest.approx(0.99)
    apart = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert loss_of(apart, apart) == {"invariance": 0, "variance": 0, "covariance": 0}


def test_one_image_has_an_invariance_and_no_spread() -> None:
    head = make_head(TASK)
    first, second = torch.randn(2, 3, 5).requires_grad_()
    terms = head.loss({"vectors": first, "vectors@2": second}, {}, torch.tensor([False, True, False]))
    assert terms["invariance"] > 0
    assert terms["variance"] == terms["covariance"] == 0
    sum(terms.values()).backward()


def test_features_are_the_pooled_level_and_of_unit_length() -> None:
    head, features = make_head(TASK), make_features(2, (64, 64))
    found = head.decode(head(features), (64, 64))["features"]
    torch.testing.assert_close(found, torch.nn.functional.normalize(features[5].mean(dim=(2, 3)), dim=1))


def test_dimensions_are_those_of_the_expander() -> None:
    assert make_head(TASK)(make_features(2, (64, 64)))["vectors"].shape == (2, ViewInvariance().dimensions)


def learn(images: Tensor, iterations: int) -> tuple[list[dict[str, float]], float]:
    """Train on uint8 [B, 3, H, W] with levels up to 3; returns each half's losses, and the deviation of the images' features."""
    plans = (HeadPlan(Head(name="v", view_invariance=ViewInvariance(dimensions=64)), LabelSpace()),)
    torch.manual_seed(0)
    network = build_network(model.Network(backbone=model.Backbone(name="resnet18", top_level=3)), plans)
    training = small_training(
        heads=plans, network=network, optimizer={"adamw": {"learning_rate": 0.002}}, ema_decay=0, max_iterations=iterations
    )
    everyone, unlabelled = torch.ones(len(images), dtype=torch.bool), torch.full((len(images),), -1)
    losses = []
    for iteration in range(1, iterations + 1):
        training.step(Batch(images, {"v": {"label": unlabelled}}, {"v": everyone}, [""] * len(images)), iteration)
        if iteration % (iterations // 2) == 0:
            losses.append(training.step.ledger.read().losses)
    with torch.no_grad():
        features = network.eval()(normalise(images))["v"]["features"]
    return losses, scores_of(features, unlabelled)["deviation"]


def textures(count: int) -> Tensor:
    drawn = [draw_texture("train", index, 48)[0] for index in range(count)]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous()


def test_views_move_closer_and_images_stay_apart() -> None:
    """Sixteen photographs of textures. Better neighbours' labels would take minutes: tests/bench/tasks."""
    torch.set_num_threads(1)
    (first, second), deviation = learn(textures(16), iterations=50)
    assert second["v/invariance"] < 0.85 * first["v/invariance"], "seen: 0.086 and 0.060"
    assert second["v/variance"] < 0.95 * first["v/variance"], "seen: 0.589 and 0.527"
    assert deviation > 0.3


def test_without_the_terms_that_keep_images_apart_all_vectors_become_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    whole = ViewInvarianceHead.loss

    def spread_without_gradient(*arguments: Any) -> dict[str, Tensor]:
        return {name: term if name == "invariance" else term.detach() for name, term in whole(*arguments).items()}

    monkeypatch.setattr(ViewInvarianceHead, "loss", spread_without_gradient)
    (_, second), _ = learn(textures(16), iterations=30)
    assert second["v/variance"] > 0.9
