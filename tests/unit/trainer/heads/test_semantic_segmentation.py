import numpy as np
import pytest
import torch
from torch import Tensor

from headrace_api.heads import SemanticSegmentation
from headrace_api.tasks import Task
from headrace_testing.head_cases import make_features, make_head
from headrace_testing.memorising import Memoriser
from headrace_testing.shape_scenes import KINDS, make_scenes
from headrace_trainer.data.targets import IGNORE
from headrace_trainer.heads.semantic_segmentation import SemanticSegmentationMetric
from headrace_trainer.label_space import LabelSpace

TASK = Task.SEMANTIC_SEGMENTATION


def numpy_miou(truth: np.ndarray, found: np.ndarray, classes: int) -> float:
    counted = truth != IGNORE
    ious = []
    for label in range(classes):
        a, b = (truth == label) & counted, (found == label) & counted
        if (a | b).any():
            ious.append((a & b).sum() / (a | b).sum())
    return float(np.mean(ious))


def right_logits(truth: Tensor, classes: int, stride: int) -> Tensor:
    coarse = truth[:, stride // 2 :: stride, stride // 2 :: stride]
    return torch.nn.functional.one_hot(coarse, classes).permute(0, 3, 1, 2).float() * 20


def test_eight_images_are_memorised() -> None:
    torch.set_num_threads(1)
    scenes = make_scenes(8, 64)
    classes = scenes.panoptic_targets["classes"]
    targets = {"map": classes.gather(1, scenes.panoptic_targets["segments"].flatten(1)).view(8, 64, 64)}
    memoriser = Memoriser(TASK, SemanticSegmentation(), LabelSpace(classes=(*KINDS, "upper", "lower")), top_level=3)
    memoriser.train(scenes.images, targets, iterations=160, peak=0.008)
    assert memoriser.scores(scenes.images, targets)["mIoU"] >= 0.95


@pytest.mark.parametrize(("levels", "stride"), [((1, 2), 1), ((2, 3, 4), 2), ((3, 4, 5), 2), ((5,), 2)], ids=str)
def test_logits_come_at_half_the_image_or_finer_and_cover_it(levels: tuple[int, ...], stride: int) -> None:
    head = make_head(TASK, levels=levels)
    outputs = head(make_features(1, (33, 70), levels=levels))
    _, classes, height, width = outputs["logits"].shape
    assert classes == 3
    assert height * stride >= 33
    assert width * stride >= 70
    assert head.decode(outputs, (33, 70))["map"].shape == (1, 33, 70)


def test_a_fresh_head_shows_no_checkerboard() -> None:
    logits = make_head(TASK)(make_features(1, (64, 64)))["logits"]
    corner = logits[:, :, ::2, ::2]
    for row, column in ((0, 1), (1, 0), (1, 1)):
        assert torch.equal(logits[:, :, row::2, column::2], corner)
    assert corner.std() > 0


def test_decoding_right_outputs_gives_the_map_back() -> None:
    truth = torch.randint(3, (2, 6, 5)).repeat_interleave(16, 1).repeat_interleave(16, 2)
    head = make_head(TASK)
    found = head.decode({"logits": right_logits(truth, 3, stride=2)}, (96, 80))["map"]
    assert torch.equal(found, truth)


def test_the_map_stays_in_place_on_odd_sizes() -> None:
    """A cell of 2 × 2 pixels extends past the edge: the map must be cropped, not squeezed."""
    truth = torch.zeros(1, 34, 72, dtype=torch.int64)
    truth[:, :, 36:] = 1
    found = make_head(TASK).decode({"logits": right_logits(truth, 3, stride=2)}, (33, 70))["map"]
    assert torch.equal(found, truth[:, :33, :70])


def test_ignored_pixels_count_for_nothing() -> None:
    head = make_head(TASK)
    outputs = head(make_features(1, (64, 64)))
    truth = torch.zeros(1, 64, 64, dtype=torch.int64)
    half = truth.clone()
    half[:, 32:] = IGNORE
    logits = outputs["logits"]
    swapped = {"logits": torch.cat([logits[:, :, :17], torch.randn_like(logits[:, :, 17:])], dim=2)}
    everyone = torch.tensor([True])
    assert head.loss(outputs, {"map": half}, everyone) == head.loss(swapped, {"map": half}, everyone)
    nothing = head.loss(outputs, {"map": torch.full_like(truth, IGNORE)}, everyone)
    assert nothing["classification"].item() == 0.0


def test_loss_is_the_mean_over_pixels() -> None:
    head = make_head(TASK)
    outputs = {"logits": torch.zeros(2, 3, 32, 32)}
    loss = head.loss(outputs, {"map": torch.randint(-1, 3, (2, 64, 64))}, torch.tensor([True, True]))
    assert loss["classification"].item() == pytest.approx(np.log(3))


def test_scores_equal_numpy_over_batches() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 4, (6, 20, 30))
    found = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 4, truth.shape)).clip(0)
    metric = SemanticSegmentationMetric(7)  # three of them never occur
    for part in (slice(0, 4), slice(4, 6)):
        labelled = torch.ones(part.stop - part.start, dtype=torch.bool)
        metric.update({"map": torch.from_numpy(found[part])}, {"map": torch.from_numpy(truth[part])}, labelled)
    scores = metric.compute()
    assert scores["mIoU"] == pytest.approx(numpy_miou(truth, found, 7), abs=1e-12)
    assert scores["pixelAccuracy"] == pytest.approx((truth == found)[truth != IGNORE].mean(), abs=1e-12)


def test_a_class_that_is_only_predicted_counts_as_missed() -> None:
    metric = SemanticSegmentationMetric(3)
    truth = torch.zeros(1, 2, 2, dtype=torch.int64)
    found = torch.tensor([[[0, 0], [0, 2]]])
    metric.update({"map": found}, {"map": truth}, torch.tensor([True]))
    assert metric.compute() == pytest.approx({"mIoU": (0.75 + 0) / 2, "pixelAccuracy": 0.75})
