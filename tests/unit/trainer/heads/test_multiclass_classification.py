import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, top_k_accuracy_score

from headrace_api.errors import FatalError
from headrace_api.heads import MulticlassClassification
from headrace_api.tasks import Task
from headrace_testing.head_cases import make_head, make_labels
from headrace_trainer.heads.base import REGISTRY, Head
from headrace_trainer.heads.multiclass_classification import MulticlassClassificationMetric

TASK = Task.MULTICLASS_CLASSIFICATION


def random_answers(classes: int, images: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = rng.integers(0, classes, images)
    logits = rng.normal(size=(images, classes)) + 1.5 * np.eye(classes)[label]
    exponential = np.exp(logits)
    return (exponential / exponential.sum(axis=1, keepdims=True)).astype(np.float32), label


def scores_of(probabilities: np.ndarray, label: np.ndarray) -> dict[str, float]:
    metric = MulticlassClassificationMetric(probabilities.shape[1])
    for part in np.array_split(np.arange(len(label)), 3):
        given, truth = torch.from_numpy(probabilities[part]), torch.from_numpy(label[part])
        metric.update({"probabilities": given}, {"label": truth}, torch.ones(len(part), dtype=torch.bool))
    return metric.compute()


def numpy_calibration_error(probabilities: np.ndarray, label: np.ndarray) -> float:
    confidence, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == label
    error = 0.0
    for low in range(15):
        chosen = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if chosen.any():
            error += chosen.mean() * abs(right[chosen].mean() - confidence[chosen].mean())
    return error


def test_decoding_right_outputs_gives_the_label_back() -> None:
    label = torch.tensor([2, 0])
    found = make_head(TASK).decode({"logits": torch.eye(3)[label] * 20}, (64, 64))["probabilities"]
    assert torch.equal(found.argmax(dim=1), label)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2))


@pytest.mark.parametrize("classes", [8, 5])
def test_scores_equal_scikit_learn(classes: int) -> None:
    probabilities, label = random_answers(classes)
    scores = scores_of(probabilities, label)
    answer = probabilities.argmax(axis=1)
    assert scores["top1"] == pytest.approx((answer == label).mean())
    want_top5 = top_k_accuracy_score(label, probabilities, k=5, labels=range(classes)) if classes > 5 else 1.0
    assert scores["top5"] == pytest.approx(want_top5)
    assert scores["macroF1"] == pytest.approx(f1_score(label, answer, average="macro"))
    assert scores["calibrationError"] == pytest.approx(numpy_calibration_error(probabilities, label), abs=1e-9)


def test_memory_grows_with_the_number_of_classes_and_not_with_its_square() -> None:
    classes, images = 200_000, 4
    metric = MulticlassClassificationMetric(classes)
    probabilities = torch.zeros(images, classes)
    answer, label = torch.tensor([5, classes - 1, 7, 7]), torch.tensor([5, classes - 1, 7, 8])
    probabilities[torch.arange(images), answer] = 1.0
    metric.update({"probabilities": probabilities}, {"label": label}, torch.ones(images, dtype=torch.bool))
    scores = metric.compute()
    assert scores["top1"] == 0.75
    assert scores["macroF1"] == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)


def test_fewer_than_five_classes_are_all_among_the_top_five() -> None:
    assert scores_of(*random_answers(3))["top5"] == 1.0


def test_precision_and_recall_are_told_apart_by_macro_f1() -> None:
    """A constant answer is right for nine of ten images and yet useless for the other class."""
    label = np.asarray([0] * 9 + [1])
    probabilities = np.tile(np.asarray([[0.9, 0.1]], np.float32), (10, 1))
    scores = scores_of(probabilities, label)
    assert scores["top1"] == pytest.approx(0.9)
    assert scores["macroF1"] == pytest.approx((18 / 19 + 0) / 2)
    assert scores["calibrationError"] == pytest.approx(0, abs=1e-6)


def test_label_smoothing_reaches_the_loss() -> None:
    options = MulticlassClassification(label_smoothing=0.3)
    head = REGISTRY[TASK](options, {5: 8}, make_labels())
    logits, label = torch.tensor([[4.0, 0.0, -1.0]]), torch.tensor([0])
    want = -(logits.log_softmax(dim=1) * torch.tensor([0.8, 0.1, 0.1])).sum()
    loss = head.loss({"logits": logits}, {"label": label}, torch.tensor([True]))
    torch.testing.assert_close(loss["classification"], want)


def ordinal_head(classes: int) -> Head:
    torch.manual_seed(0)
    return REGISTRY[TASK](MulticlassClassification(ordinal=True), {5: 8}, make_labels(classes))


def test_ordinal_probabilities_are_products_of_being_above_each_step() -> None:
    head = ordinal_head(4)
    x = {5: torch.randn(3, 8, 2, 2)}
    found = head.decode(head(x), (64, 64))["probabilities"]
    above = head.linear(x[5].mean(dim=(2, 3))).sigmoid()  # type: ignore[operator]
    want = torch.stack(
        [1 - above[:, 0], above[:, 0] * (1 - above[:, 1]), above[:, :2].prod(1) * (1 - above[:, 2]), above.prod(1)], dim=1
    )
    torch.testing.assert_close(found, want)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(3))


def test_ordinal_loss_covers_the_steps_up_to_the_label() -> None:
    head = ordinal_head(4)
    x, label = {5: torch.randn(2, 8, 1, 1)}, torch.tensor([1, 3])
    loss = head.loss(head(x), {"label": label}, torch.tensor([True, True]))["classification"]
    steps = head.linear(x[5][..., 0, 0])  # type: ignore[operator]
    binary = torch.nn.functional.binary_cross_entropy_with_logits
    first = binary(steps[0, :2], torch.tensor([1.0, 0.0]), reduction="sum")
    second = binary(steps[1], torch.ones(3), reduction="sum")
    torch.testing.assert_close(loss, (first + second) / 2)
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in head.parameters())


def test_ordinal_classes_are_scored_by_how_far_the_median_is_from_the_label() -> None:
    head = ordinal_head(4)
    metric = head.metric()
    probabilities = torch.tensor([[0.4, 0.0, 0.35, 0.25], [0.0, 0.0, 0.0, 1.0], [0.6, 0.1, 0.1, 0.2]])
    metric.update({"probabilities": probabilities}, {"label": torch.tensor([2, 0, 1])}, torch.tensor([True, True, False]))
    scores = metric.compute()
    assert scores["meanAbsoluteError"] == pytest.approx((0 + 3) / 2)
    assert "meanAbsoluteError" not in MulticlassClassificationMetric(4).compute()


def test_a_scale_of_one_step_is_refused() -> None:
    with pytest.raises(FatalError, match="`ordinal` needs at least two classes, but there is only 'class 0': list all steps"):
        ordinal_head(1)
