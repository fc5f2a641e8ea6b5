import math
from pathlib import Path

import pytest
import torch

from headrace_api import runfolder
from headrace_api.heads import AnomalyDetection, Autoencoding, Head, ViewInvariance
from headrace_api.trainingjob import Better
from headrace_testing.kept_messages import KeptMessages
from headrace_testing.steps import random_batch, small_evaluation, small_network
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.heads.scores import Score
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.build import HeadPlan
from headrace_trainer.ops.pixels import denormalise, normalise
from headrace_trainer.protocol import Evaluated, Evaluating
from headrace_trainer.worker.evaluate import Evaluation, Scores


@pytest.fixture
def pipe() -> KeptMessages:
    return KeptMessages()


@pytest.fixture
def evaluation(tmp_path: Path, pipe: KeptMessages) -> Evaluation:
    return small_evaluation(tmp_path, pipe)


def two_batches(labelled: dict[str, list[bool]] | None = None) -> list[Batch]:
    return [random_batch(seed, labelled) for seed in (1, 2)]


def test_scores_are_the_heads_own_metrics_and_the_primary_is_their_mean(evaluation: Evaluation, pipe: KeptMessages) -> None:
    scores = evaluation(small_network(), two_batches(), iteration=30)
    assert scores.by_head.keys() == {"tags", "kind"}
    assert scores.primary == pytest.approx((scores.by_head["tags"]["mAP"] + scores.by_head["kind"]["top1"]) / 2)
    said = pipe.sent[-1]
    assert isinstance(said, Evaluated)
    assert {(s.head, s.name): s.value for s in said.scores} == {
        (head, name): value for head, values in scores.by_head.items() for name, value in values.items()
    }
    assert {s.iteration for s in said.scores} == {said.iteration} == {30}
    assert pipe.sent[0] == Evaluating(iteration=30, images_done=0, images=8)


def test_a_head_without_held_out_labels_has_no_score_and_no_effect(evaluation: Evaluation, pipe: KeptMessages) -> None:
    scores = evaluation(small_network(), two_batches({"tags": [False] * 4}), iteration=1)
    assert math.isnan(scores.by_head["tags"]["mAP"])
    assert scores.primary == scores.by_head["kind"]["top1"]
    said = pipe.sent[-1]
    assert isinstance(said, Evaluated)
    assert {score.head for score in said.scores} == {"kind"}


def test_without_any_held_out_label_there_is_no_primary_score(evaluation: Evaluation) -> None:
    scores = evaluation(small_network(), two_batches({"tags": [False] * 4, "kind": [False] * 4}), iteration=1)
    assert math.isnan(scores.primary)


def test_a_score_without_lower_bound_cannot_outweigh_the_other_heads() -> None:
    by_head = {"angle": {"R2": -50.0}, "boxes": {"AP": 0.6}, "tags": {"mAP": math.nan}}
    meanings = {"angle": (Score("R2"),), "boxes": (Score("AP"),), "tags": (Score("mAP"),)}
    assert Scores(by_head, meanings).primary == pytest.approx(0.3)


def test_a_score_says_what_is_better_and_which_one_is_the_main_one(evaluation: Evaluation, pipe: KeptMessages) -> None:
    evaluation(small_network(), two_batches(), iteration=1)
    said = pipe.sent[-1]
    assert isinstance(said, Evaluated)
    told = {(score.head, score.name): (score.better, score.primary) for score in said.scores}
    assert told["kind", "top1"] == (Better.HIGHER, True)
    assert told["kind", "calibrationError"] == (Better.LOWER, False)
    assert told["tags", "mAP"] == (Better.HIGHER, True)


def test_evaluating_and_drawing_leave_the_network_unchanged_and_able_to_learn(evaluation: Evaluation) -> None:
    network = small_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    evaluation(network, two_batches(), iteration=1)
    assert all(module.training for module in network.modules())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    network(torch.randn(2, 3, 32, 32))
    assert network.backbone.bn1.num_batches_tracked == 1  # batch normalisation still learns
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_network_in_evaluation_mode_stays_in_it(evaluation: Evaluation) -> None:
    network = small_network().eval()
    evaluation(network, two_batches(), iteration=1)
    assert not any(module.training for module in network.modules())


def test_chosen_images_are_drawn_where_the_message_says(tmp_path: Path, evaluation: Evaluation, pipe: KeptMessages) -> None:
    evaluation(small_network(), [random_batch(1)], iteration=12)
    said = pipe.sent[-1]
    assert isinstance(said, Evaluated)
    assert [(one.head, one.image, one.truth) for one in said.pictures] == [
        (head, image, True) for head in ("tags", "kind") for image in ("2.jpg", "0.jpg")
    ]
    expected = {runfolder.picture(12, one.head, one.file) for one in said.pictures}
    expected |= {runfolder.truth_picture(one.head, one.file) for one in said.pictures}
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")} == expected


def test_an_evaluation_can_do_without_pictures(tmp_path: Path, evaluation: Evaluation, pipe: KeptMessages) -> None:
    evaluation(small_network(), [random_batch(1)], iteration=12, draw=False)
    said = pipe.sent[-1]
    assert isinstance(said, Evaluated)
    assert said.scores
    assert said.pictures == []
    assert list(tmp_path.iterdir()) == []


def test_heads_that_learn_from_the_image_are_scored_by_it_and_get_their_picture(tmp_path: Path, pipe: KeptMessages) -> None:
    """Even if they would use two views in training: an evaluation uses one."""
    heads = (
        HeadPlan(Head(name="again", autoencoding=Autoencoding()), LabelSpace()),
        HeadPlan(Head(name="views", view_invariance=ViewInvariance(dimensions=16)), LabelSpace()),
        HeadPlan(Head(name="odd", annotations="c", anomaly_detection=AnomalyDetection()), LabelSpace()),
    )
    evaluation = small_evaluation(tmp_path, pipe, "again", "views", "odd")
    network, batch = small_network(heads=heads), random_batch(1)
    flags, mask = torch.tensor([False, True, False, True]), torch.zeros(4, 32, 32, dtype=torch.bool)
    mask[1, :8] = True
    shown = torch.ones_like(mask)
    unlabelled = {"label": torch.full((4,), -1), "shown": shown}
    odd = {"anomalous": flags, "mask": mask, "has_mask": torch.tensor([True, True, True, False]), "shown": shown}
    everyone = torch.ones(4, dtype=torch.bool)
    targets = {"again": unlabelled, "views": unlabelled, "odd": odd}
    passes: list[int] = []
    network.backbone.register_forward_hook(lambda module, inputs, outputs: passes.append(len(inputs[0])))
    scores = evaluation(network, [Batch(batch.images, targets, dict.fromkeys(targets, everyone), batch.names)], iteration=1)
    assert passes == [4]
    with torch.no_grad():
        found = denormalise(network.eval()(normalise(batch.images))["again"]["image"])
    error = (found.clamp(0, 1) - batch.images / 255).square().mean(dim=(1, 2, 3))
    assert scores.by_head["again"]["psnr"] == pytest.approx((-10 * error.log10()).mean().item(), rel=1e-4)
    assert math.isnan(scores.by_head["views"]["knnAccuracy"])
    assert all(math.isfinite(value) for value in scores.by_head["odd"].values())
    said = pipe.sent[-1]
    assert isinstance(said, Evaluated)
    assert {(one.head, one.truth) for one in said.pictures} == {("again", False), ("views", False), ("odd", True)}
