import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from headrace_api.heads import MetricLearning
from headrace_api.tasks import Task
from headrace_testing.head_cases import make_features, make_head, make_labels
from headrace_testing.memorising import Memoriser
from headrace_trainer.heads import neighbours
from headrace_trainer.heads.base import REGISTRY
from headrace_trainer.heads.metric_learning import MARGIN, SCALE, RetrievalMetric
from headrace_trainer.label_space import LabelSpace

TASK = Task.METRIC_LEARNING
NAMES = ("recallAt1", "recallAt5", "mAP")


def random_vectors(images: int = 40, identities: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of any length that lean towards their identity's direction; the last identity has one image."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, identities - 1, images)
    label[17] = identities - 1
    centers = rng.normal(size=(identities, 8))
    vectors = (centers[label] + 0.8 * rng.normal(size=(images, 8))) * rng.uniform(0.5, 2, (images, 1))
    return vectors.astype(np.float32), label


def scores_of(vectors: np.ndarray, label: np.ndarray) -> dict[str, float]:
    metric = RetrievalMetric()
    for part in np.array_split(np.arange(len(label)), 3):
        given, truth = torch.from_numpy(vectors[part]), torch.from_numpy(label[part])
        metric.update({"embeddings": given}, {"label": truth}, torch.ones(len(part), dtype=torch.bool))
    return metric.compute()


def oracle(vectors: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Leave one out, image by image, with scikit-learn's average precision."""
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = []
    for asked in range(len(label)):
        others = np.arange(len(label)) != asked
        right, near = label[others] == label[asked], unit[others] @ unit[asked]
        if right.any():
            ranked = right[np.argsort(-near)]
            rows.append((ranked[0], ranked[:5].any(), average_precision_score(right, near)))
    return dict(zip(NAMES, np.mean(rows, axis=0), strict=True))


def test_scores_equal_numpy_and_scikit_learn() -> None:
    vectors, label = random_vectors()
    want = oracle(vectors, label)
    assert 0.2 < want["recallAt1"] < want["recallAt5"] < 1
    assert scores_of(vectors, label) == pytest.approx(want)


def test_scores_do_not_depend_on_how_many_similarities_are_computed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, label = random_vectors()
    monkeypatch.setattr(neighbours, "_MOST_CELLS", 3 * len(label))
    assert scores_of(vectors, label) == pytest.approx(oracle(vectors, label))


def test_images_alone_in_their_identity_leave_no_score() -> None:
    scores = scores_of(np.eye(3, dtype=np.float32), np.arange(3))
    assert scores.keys() == set(NAMES)
    assert all(np.isnan(score) for score in scores.values())


def test_equal_vectors_score_no_more_than_chance() -> None:
    label = np.arange(8).repeat(3)
    assert scores_of(np.ones((24, 4), np.float32), label)["recallAt1"] == pytest.approx(1 / 8)


def test_embeddings_have_unit_length() -> None:
    embeddings = make_head(TASK)(make_features(2, (64, 64)))["embeddings"]
    assert embeddings.shape == (2, 16)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))


def test_loss_is_the_cross_entropy_of_cosines_with_a_margin() -> None:
    head = make_head(TASK)
    embeddings, label = torch.nn.functional.normalize(torch.randn(4, 16), dim=1), torch.tensor([0, 2, 1, 2])
    prototypes = torch.nn.functional.normalize(head.get_parameter("prototypes").detach(), dim=1)
    logits = SCALE * (embeddings @ prototypes.T - MARGIN * torch.eye(3)[label])
    loss = head.loss({"embeddings": embeddings}, {"label": label}, torch.ones(4, dtype=torch.bool))["identity"]
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, label))


def test_two_identities_are_told_apart() -> None:
    """The scale of AdaCos, sqrt(2) * log(C - 1), is 0 for two identities, and so is every gradient."""
    head = REGISTRY[TASK](MetricLearning(dimensions=16), {5: 8}, make_labels(2))
    label = torch.tensor([0, 1])
    features = {5: torch.randn(2, 8, 1, 1)}
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    first = None
    for _ in range(60):
        loss = head.loss(head(features), {"label": label}, torch.tensor([True, True]))["identity"]
        first = first if first is not None else loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert first is not None
    assert loss.item() < 0.01 < first


def test_an_identity_that_only_val_has_costs_the_others_nothing() -> None:
    """Once its prototype has moved away from them, the loss is as low as without it."""
    heads = [REGISTRY[TASK](MetricLearning(dimensions=16), {5: 8}, make_labels(classes)) for classes in (2, 5)]
    features, label = {5: torch.randn(4, 8, 1, 1)}, torch.tensor([0, 1, 0, 1])
    for head in heads:
        optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
        for _ in range(100):
            loss = head.loss(head(features), {"label": label}, torch.ones(4, dtype=torch.bool))["identity"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss.item() < 0.01


def patterns(count: int, size: int = 64) -> Tensor:
    """Images of smooth coloured noise, each with its own identity."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 3, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")


def changed(images: Tensor, times: int, seed: int) -> tuple[Tensor, Tensor]:
    """`times` copies of each image, rolled by up to 6 pixels, brighter or darker, with noise; and the index of each original."""
    generator = torch.Generator().manual_seed(seed)
    changes = []
    for image in images.repeat_interleave(times, dim=0):
        shift = torch.randint(-6, 7, (2,), generator=generator).tolist()
        light = 1 + 0.6 * (torch.rand((), generator=generator) - 0.5)
        changes.append(light * image.roll(shift, (1, 2)) + 0.1 * torch.randn(image.shape, generator=generator))
    return torch.stack(changes), torch.arange(len(images)).repeat_interleave(times)


def test_memorised_identities_are_found_again_in_changed_images() -> None:
    identities = patterns(8)
    images, label = changed(identities, times=4, seed=1)
    labels = LabelSpace(classes=tuple(f"pattern {number}" for number in range(8)))
    memoriser = Memoriser(TASK, MetricLearning(dimensions=32), labels, bottom_level=3, top_level=3)
    memoriser.train(images, {"label": label}, iterations=30, peak=0.002)
    held_out, label = changed(identities, times=4, seed=2)
    scores = memoriser.scores(held_out, {"label": label})
    assert scores["recallAt1"] >= 0.95
    assert scores["mAP"] >= 0.9
