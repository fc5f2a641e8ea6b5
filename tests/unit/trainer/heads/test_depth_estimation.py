import numpy as np
import pytest
import torch
from torch import Tensor

from headrace_api.heads import DepthEstimation
from headrace_api.tasks import Task
from headrace_testing.head_cases import make_features, make_head, make_targets
from headrace_testing.memorising import Memoriser
from headrace_testing.shape_scenes import make_scenes
from headrace_trainer.heads.depth_estimation import DepthEstimationMetric
from headrace_trainer.label_space import LabelSpace

TASK = Task.DEPTH_ESTIMATION
EVERYONE = torch.tensor([True, True])


def test_eight_images_are_memorised() -> None:
    torch.set_num_threads(1)
    scenes = make_scenes(8, 64)
    memoriser = Memoriser(TASK, DepthEstimation(), LabelSpace(), top_level=3)
    memoriser.train(scenes.images, scenes.depth_targets, iterations=120, peak=0.01)
    assert memoriser.scores(scenes.images, scenes.depth_targets)["delta1"] >= 0.95


def numpy_scores(truth: np.ndarray, found: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """Computed image by image."""
    rows = []
    for image in range(len(truth)):
        there = known[image] & (truth[image] > 0)
        if there.any():
            t, f = truth[image][there].astype(np.float64), found[image][there].astype(np.float64)
            ratio = np.maximum(t / f, f / t)
            rows.append((np.mean(np.abs(t - f) / t), np.sqrt(np.mean((t - f) ** 2)), np.mean(ratio < 1.25)))
    return dict(zip(("AbsRel", "RMSE", "delta1"), np.mean(rows, axis=0), strict=True))


def test_scores_equal_numpy_over_batches() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.5, 20, (6, 9, 13)).astype(np.float32)
    found = (truth * rng.lognormal(0, 0.2, truth.shape)).astype(np.float32)
    known = rng.random(truth.shape) < 0.6
    truth[rng.random(truth.shape) < 0.1] = 0
    known[4] = False
    metric = DepthEstimationMetric()
    for part in (slice(0, 4), slice(4, 6)):
        targets = {"depth": torch.from_numpy(truth[part]), "known": torch.from_numpy(known[part])}
        metric.update({"depth": torch.from_numpy(found[part])}, targets, torch.ones(part.stop - part.start, dtype=torch.bool))
    assert metric.compute() == pytest.approx(numpy_scores(truth, found, known), rel=1e-9)


def test_an_image_without_a_known_pixel_does_not_crash_and_counts_for_nothing() -> None:
    """An earlier multi-head library crashed on such an image."""
    head = make_head(TASK)
    targets = make_targets(TASK, 2, (64, 64))
    targets["known"][1] = False
    outputs = head(make_features(2, (64, 64)))
    terms = head.loss(outputs, targets, EVERYONE)
    alone = head.loss({key: x[:1] for key, x in outputs.items()}, {key: x[:1] for key, x in targets.items()}, EVERYONE[:1])
    for name, term in terms.items():
        torch.testing.assert_close(term, alone[name])
    metric, metric_alone = head.metric(), head.metric()
    predictions = {key: value.detach() for key, value in head.decode(outputs, (64, 64)).items()}
    metric.update(predictions, targets, EVERYONE)
    metric_alone.update(predictions, targets, torch.tensor([True, False]))
    assert metric.compute() == metric_alone.compute()


def test_a_batch_without_a_known_pixel_has_a_loss_of_zero() -> None:
    head = make_head(TASK)
    targets = make_targets(TASK, 2, (64, 64))
    targets["known"][:] = False
    terms = head.loss(head(make_features(2, (64, 64))), targets, EVERYONE)
    sum(terms.values()).backward()
    assert [term.item() for term in terms.values()] == [0, 0]
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())
    metric = head.metric()
    metric.update(head.eval().decode(right(targets["depth"].clamp(min=1)), (64, 64)), targets, EVERYONE)
    assert all(np.isnan(score) for score in metric.compute().values())


@pytest.mark.parametrize("nonsense", [0.0, -3.0, float("nan"), float("inf")])
def test_unknown_pixels_are_not_read(nonsense: float) -> None:
    head = make_head(TASK)
    outputs = head(make_features(2, (64, 64)))
    targets = make_targets(TASK, 2, (64, 64))
    want = head.loss(outputs, targets, EVERYONE)
    spoiled = {**targets, "depth": torch.where(targets["known"], targets["depth"], nonsense)}
    found = head.loss(outputs, spoiled, EVERYONE)
    sum(found.values()).backward()
    assert all(found[name] == want[name] for name in want)
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


def test_a_known_depth_of_zero_counts_as_unknown() -> None:
    """Sensors write 0 where they saw nothing."""
    head = make_head(TASK)
    outputs, targets = head(make_features(2, (64, 64))), make_targets(TASK, 2, (64, 64))
    everywhere = {**targets, "known": torch.ones_like(targets["known"])}
    assert head.loss(outputs, everywhere, EVERYONE) == head.loss(outputs, targets, EVERYONE)


def right(depth: Tensor) -> dict[str, Tensor]:
    return {"log_depth": depth.log()}


def test_right_outputs_have_no_loss_and_the_best_scores() -> None:
    head = make_head(TASK)
    depth = torch.rand(2, 64, 64) * 50 + 0.1
    targets = {"depth": depth, "known": torch.ones_like(depth, dtype=torch.bool)}
    assert sum(head.loss(right(depth), targets, EVERYONE).values()) == pytest.approx(0, abs=1e-5)
    metric = head.metric()
    metric.update(head.decode(right(depth), (64, 64)), targets, EVERYONE)
    assert metric.compute() == pytest.approx({"AbsRel": 0, "RMSE": 0, "delta1": 1}, abs=1e-4)


def test_the_loss_is_a_relative_error_whatever_the_unit() -> None:
    head = make_head(TASK)
    depth = torch.rand(2, 64, 64) + 0.5
    known = torch.ones_like(depth, dtype=torch.bool)
    want = np.sqrt(0.15) * np.log(3)  # all pixels are off by the same factor: only the error's term for the mean is left
    for unit in (1.0, 1000.0):
        loss = head.loss(right(3 * depth * unit), {"depth": depth * unit, "known": known}, EVERYONE)
        assert loss["distance"].item() == pytest.approx(want, abs=0.011)
        assert loss["gradient"].item() == pytest.approx(0, abs=1e-4)


def test_the_ground_is_not_the_best_constant_even_if_most_pixels_are_ground() -> None:
    """The absolute error's best constant is the median: once there, nothing told the head of things on the ground."""
    head = make_head(TASK)
    truth = torch.full((2, 64, 64), 2.5)
    truth[:, :20, :20] = 1.2
    targets = {"depth": truth, "known": torch.ones_like(truth, dtype=torch.bool)}
    levels = (float(truth.log().mean()), np.log(2.5))
    mean, ground = (head.loss({"log_depth": torch.full_like(truth, level)}, targets, EVERYONE)["distance"] for level in levels)
    assert mean < ground


def test_maps_stay_in_place_on_odd_sizes() -> None:
    head = make_head(TASK)
    outputs = head(make_features(1, (33, 70)))
    assert head.decode(outputs, (33, 70))["depth"].shape == (1, 33, 70)
    torch.testing.assert_close(head.decode(outputs, (33, 70))["depth"].log(), outputs["log_depth"][:, :33, :70])


def test_every_pixel_is_between_the_cells_around_it() -> None:
    head = make_head(TASK)
    with torch.no_grad():
        head.get_parameter("weigh.weight").mul_(50)
        features = make_features(1, (64, 64))
        pixels = head(features)["log_depth"]
        cells = head.get_submodule("measure")(head.get_submodule("map")(features))
    assert cells.min() - 1e-5 <= pixels.min() < pixels.max() <= cells.max() + 1e-5
    assert pixels.max() - pixels.min() > 0.3 * (cells.max() - cells.min())


def test_depths_beyond_all_bounds_are_finite() -> None:
    depth = make_head(TASK).decode({"log_depth": torch.tensor([[[-1e4, 0.0, 1e4]]])}, (1, 3))["depth"]
    assert torch.isfinite(depth.square()).all()
    assert (depth > 0).all()


def test_a_level_ground_is_drawn_too() -> None:
    picture = make_head(TASK).draw(np.zeros((32, 32, 3), np.uint8), {"depth": torch.full((1, 32, 32), 3.0)}, 0)
    assert picture[-1, -1].any()
