import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from headrace_api.heads import Regression
from headrace_api.tasks import Task
from headrace_testing.head_cases import make_head
from headrace_testing.memorising import Memoriser
from headrace_trainer.heads.regression import RegressionMetric
from headrace_trainer.label_space import LabelSpace

TASK = Task.REGRESSION


def scores_of(found: np.ndarray, truth: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """In three batches, standardised as the train split might be: not exactly as these values are."""
    metric = RegressionMetric(torch.full((truth.shape[1],), 900.0), torch.full((truth.shape[1],), 7.0))
    for part in np.array_split(np.arange(len(truth)), 3):
        targets = {"values": torch.from_numpy(truth[part]), "known": torch.from_numpy(known[part])}
        metric.update({"values": torch.from_numpy(found[part])}, targets, torch.ones(len(part), dtype=torch.bool))
    return metric.compute()


def random_values(images: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Truth and predictions for two values: one far from zero, one small."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(images, 2)) * [5.0, 0.1] + [1000.0, 0.0]
    return truth, truth + rng.normal(size=truth.shape) * [2.0, 0.05]


def test_scores_equal_scikit_learn_which_averages_over_values() -> None:
    truth, found = random_values()
    scores = scores_of(found, truth, np.full(truth.shape, True))
    assert scores["MAE"] == pytest.approx(mean_absolute_error(truth, found))
    assert scores["RMSE"] == pytest.approx(root_mean_squared_error(truth, found))
    assert scores["R2"] == pytest.approx(r2_score(truth, found))


def test_each_value_counts_where_it_is_known() -> None:
    truth, found = random_values()
    known = np.random.default_rng(1).random(truth.shape) < 0.5
    scores = scores_of(np.where(known, found, np.nan), np.where(known, truth, np.nan), known)
    want = [r2_score(truth[known[:, value], value], found[known[:, value], value]) for value in range(2)]
    assert scores["R2"] == pytest.approx(np.mean(want))
    want = [mean_absolute_error(truth[known[:, value], value], found[known[:, value], value]) for value in range(2)]
    assert scores["MAE"] == pytest.approx(np.mean(want))


def test_a_value_that_is_never_known_has_no_effect() -> None:
    truth, found = random_values()
    known = np.full(truth.shape, True)
    known[:, 1] = False
    scores = scores_of(found, truth, known)
    assert scores["RMSE"] == pytest.approx(root_mean_squared_error(truth[:, 0], found[:, 0]))
    assert scores["R2"] == pytest.approx(r2_score(truth[:, 0], found[:, 0]))


def test_worse_than_the_mean_is_a_negative_r2() -> None:
    truth, found = random_values()
    scores = scores_of(-found, truth, np.full(truth.shape, True))
    assert scores["R2"] == pytest.approx(r2_score(truth, -found))
    assert scores["R2"] < 0


@pytest.mark.parametrize(("error", "want"), [(0.0, 1.0), (0.5, 0.0)], ids=["right", "wrong"])
def test_r2_equals_scikit_learns_if_all_truths_are_equal(error: float, want: float) -> None:
    truth = np.full((7, 1), 0.25)
    assert r2_score(truth, truth + error) == want
    assert scores_of(truth + error, truth, np.full((7, 1), True))["R2"] == want


def test_one_image_has_errors_and_no_r2() -> None:
    scores = scores_of(np.array([[3.0]]), np.array([[1.0]]), np.array([[True]]))
    assert (scores["MAE"], scores["RMSE"]) == pytest.approx((2.0, 2.0))
    assert np.isnan(scores["R2"])


def test_values_are_learned_in_deviations_and_predicted_in_their_units() -> None:
    head = make_head(TASK)  # means 10 and 3, deviations 5 and 1.5
    values, known = torch.tensor([[15.0, 0.0]]), torch.tensor([[True, True]])
    right = {"standardised": torch.tensor([[1.0, -2.0]])}
    assert torch.equal(head.decode(right, (64, 64))["values"], values)
    everyone = torch.tensor([True])
    assert head.loss(right, {"values": values, "known": known}, everyone)["regression"] == 0
    # A tenth of a deviation off by square, three deviations off by distance.
    off = {"standardised": right["standardised"] + torch.tensor([[0.1, 3.0]])}
    loss = head.loss(off, {"values": values, "known": known}, everyone)["regression"]
    assert loss.item() == pytest.approx((0.1**2 / 2 + (3 - 0.5)) / 2)


def test_an_unknown_value_of_a_labelled_image_is_not_read() -> None:
    head = make_head(TASK)
    outputs = {"standardised": torch.tensor([[0.5, 0.5]], requires_grad=True)}
    targets = {"values": torch.tensor([[10.0, float("nan")]]), "known": torch.tensor([[True, False]])}
    loss = head.loss(outputs, targets, torch.tensor([True]))["regression"]
    loss.backward()
    assert loss.item() == pytest.approx(0.5**2 / 2)
    assert outputs["standardised"].grad is not None
    assert outputs["standardised"].grad[0, 1] == 0


def test_the_weights_do_not_include_the_scale_of_values() -> None:
    assert set(make_head(TASK).state_dict()) == {"linear.weight", "linear.bias"}


def bright_discs(count: int = 8, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Images with one disc each, and [count, 2]: its x coordinate in pixels, and its area in thousandths."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    across, radius = (torch.rand(2, count, generator=generator) * 0.4 + 0.3) * torch.tensor([[1.0], [0.4]]) * size
    inside = (x - across[:, None, None]).square() + (y - size / 2).square() <= radius[:, None, None].square()
    noise = 0.3 * torch.randn(count, 3, size, size, generator=generator)
    return noise + 2 * inside[:, None], torch.stack([across, inside.flatten(1).float().mean(dim=1) * 1000], dim=1)


def test_a_handful_of_images_is_memorised() -> None:
    images, values = bright_discs()
    labels = LabelSpace(values=("across", "area"), means=tuple(values.mean(0).tolist()), deviations=tuple(values.std(0).tolist()))
    memoriser = Memoriser(TASK, Regression(), labels)
    targets = {"values": values, "known": torch.ones_like(values, dtype=torch.bool)}
    memoriser.train(images, targets, iterations=80, peak=0.002)
    assert memoriser.scores(images, targets)["R2"] >= 0.98
