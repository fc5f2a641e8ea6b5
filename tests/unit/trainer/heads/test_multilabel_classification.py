import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score

from headrace_api.tasks import Task
from headrace_testing.head_cases import make_head
from headrace_trainer.heads.multilabel_classification import MultilabelClassificationMetric

TASK = Task.MULTILABEL_CLASSIFICATION


def test_decoding_right_outputs_gives_the_labels_back() -> None:
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    head = make_head(TASK)
    found = head.decode({"logits": labels * 20 - 10}, (64, 64))
    assert torch.equal((found["scores"] > 0.5).float(), labels)
    assert head.loss({"logits": labels * 20 - 10}, {"labels": labels}, torch.tensor([True, True]))["classification"] < 1e-3


def test_loss_is_per_positive_label_whatever_the_number_of_classes() -> None:
    labels = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    logits = torch.tensor([[0.0, 0.0, -50.0], [0.0, -50.0, -50.0]])
    few = make_head(TASK).loss({"logits": logits}, {"labels": labels}, torch.tensor([True, True]))["classification"]
    absent = torch.zeros(2, 97)
    outputs = {"logits": torch.cat([logits, absent - 50], dim=1)}
    targets = {"labels": torch.cat([labels, absent], dim=1)}
    many = make_head(TASK, classes=100).loss(outputs, targets, torch.tensor([True, True]))["classification"]
    assert few.item() == pytest.approx(np.log(2))
    assert many.item() == pytest.approx(few.item())


def test_images_without_any_label_are_finite() -> None:
    head = make_head(TASK)
    loss = head.loss({"logits": torch.zeros(2, 3)}, {"labels": torch.zeros(2, 3)}, torch.tensor([True, True]))
    assert loss["classification"].item() == pytest.approx(3 * np.log(2))


def test_scores_equal_scikit_learn_over_classes_that_occur() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((40, 5)) < [0.5, 0.1, 0.3, 0.0, 0.9]
    scores = (rng.random((40, 5)) * 0.7 + labels * 0.2).astype(np.float32)
    scores[:, 3] = 0.1  # never true, never predicted
    metric = MultilabelClassificationMetric()
    for part in (slice(0, 25), slice(25, 40)):
        given, truth = torch.from_numpy(scores[part]), torch.from_numpy(labels[part]).float()
        metric.update({"scores": given}, {"labels": truth}, torch.ones(len(given), dtype=torch.bool))
    occurs = labels.any(axis=0)
    assert occurs.tolist() == [True, True, True, False, True]
    want_map = average_precision_score(labels[:, occurs], scores[:, occurs], average="macro")
    want_f1 = f1_score(labels[:, occurs], scores[:, occurs] >= 0.5, average="macro")
    assert metric.compute() == pytest.approx({"mAP": want_map, "macroF1": want_f1}, abs=1e-12)


def test_no_positive_label_has_no_average_precision() -> None:
    metric = MultilabelClassificationMetric()
    metric.update({"scores": torch.full((2, 3), 0.1)}, {"labels": torch.zeros(2, 3)}, torch.tensor([True, True]))
    assert all(np.isnan(score) for score in metric.compute().values())
