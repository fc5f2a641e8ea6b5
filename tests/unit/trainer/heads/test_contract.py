"""What every registered head must do, whatever its task."""

import dataclasses

import numpy as np
import pytest
import torch

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_api.trainingjob import Better
from headrace_testing.head_cases import OPTIONS, answer, make_features, make_head, make_labels, make_targets, rows, spoil
from headrace_testing.host_sync import NoHostSync
from headrace_trainer.heads.base import REGISTRY, Head, head_factory

SIZES = {"square": (96, 96), "one cell at level 5": (32, 32), "odd and wide": (33, 70), "tall": (128, 40)}

each_task = pytest.mark.parametrize("task", sorted(REGISTRY), ids=lambda task: task.value)
each_size = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())


def gradients(head: Head, features: dict[int, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = {name: p.grad for name, p in head.named_parameters()} | {f"level {n}": f.grad for n, f in features.items()}
    return {name: torch.zeros(0) if grad is None else grad for name, grad in found.items()}


def test_the_suite_covers_the_whole_registry() -> None:
    assert set(REGISTRY) == set(OPTIONS) == set(Task)


@each_task
@each_size
def test_loss_terms_are_finite_scalars(task: Task, size: tuple[int, int]) -> None:
    head = make_head(task)
    terms = head.loss(answer(head, make_features(2, size)), make_targets(task, 2, size), torch.tensor([True, True]))
    assert terms
    for name, term in terms.items():
        assert "/" not in name, name
        assert term.shape == (), name
        assert term.dtype == torch.float32, name
        assert torch.isfinite(term), name
        assert term > 0, name


@each_task
def test_every_parameter_gets_a_gradient(task: Task) -> None:
    head = make_head(task)
    terms = head.loss(answer(head, make_features(2, (96, 96))), make_targets(task, 2, (96, 96)), torch.tensor([True, True]))
    sum(terms.values()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@each_task
def test_unlabelled_images_contribute_exactly_nothing(task: Task) -> None:
    labelled = torch.tensor([False, True, True, False])
    targets = make_targets(task, 4, (96, 64))
    mixed, alone = make_features(4, (96, 64)), make_features(4, (96, 64))
    alone = {level: x.detach()[labelled].requires_grad_() for level, x in alone.items()}

    head = make_head(task)
    mixed_terms = head.loss(answer(head, mixed), spoil(targets, ~labelled), labelled)
    sum(mixed_terms.values()).backward()
    mixed_gradients = gradients(head, {})
    head.zero_grad()
    alone_terms = head.loss(answer(head, alone), rows(targets, labelled), torch.tensor([True, True]))
    sum(alone_terms.values()).backward()

    for name, term in alone_terms.items():
        torch.testing.assert_close(mixed_terms[name], term, rtol=1e-6, atol=1e-6)
    for name, gradient in gradients(head, {}).items():
        # float32 rounds a sum by its largest terms, in an order that depends on the CPU: metric learning's prototypes have
        # gradients of up to 116, and on some CPUs small ones among them differ by 2e-5.
        atol = 1e-6 * max(1.0, gradient.abs().max().item())
        torch.testing.assert_close(mixed_gradients[name], gradient, rtol=1e-6, atol=atol, msg=name)
    for level in head.levels:
        gradient = mixed[level].grad
        assert gradient is not None
        assert not gradient[~labelled].any()
        torch.testing.assert_close(gradient[labelled], alone[level].grad, rtol=1e-6, atol=1e-6)


@each_task
def test_no_labelled_image_gives_zero_loss_and_zero_gradients(task: Task) -> None:
    head = make_head(task)
    features = make_features(2, (64, 64))
    nobody = torch.tensor([False, False])
    terms = head.loss(answer(head, features), spoil(make_targets(task, 2, (64, 64)), ~nobody), nobody)
    sum(terms.values()).backward()
    assert [term.item() for term in terms.values()] == [0.0] * len(terms)
    for name, gradient in gradients(head, {level: features[level] for level in head.levels}).items():
        assert gradient.numel(), name
        assert (gradient == 0).all(), name


@each_task
def test_one_class_is_enough(task: Task) -> None:
    head = make_head(task, classes=1)
    targets = make_targets(task, 2, (64, 64), classes=1)
    everyone = torch.tensor([True, True])
    outputs = answer(head, make_features(2, (64, 64)))
    assert all(torch.isfinite(term) for term in head.loss(outputs, targets, everyone).values())
    metric = head.metric()
    with torch.no_grad():
        metric.update(head.decode(outputs, (64, 64)), targets, everyone)
    assert set(metric.compute()) == {score.name for score in metric.scores}


@each_task
def test_bfloat16_autocast_keeps_losses_in_float32(task: Task) -> None:
    head = make_head(task)
    targets = make_targets(task, 2, (64, 64))
    with torch.autocast("cpu", torch.bfloat16):
        terms = head.loss(answer(head, make_features(2, (64, 64))), targets, torch.tensor([True, True]))
    sum(terms.values()).backward()
    exact = head.loss(answer(head, make_features(2, (64, 64))), targets, torch.tensor([True, True]))
    for name, term in terms.items():
        assert term.dtype == torch.float32, name
        torch.testing.assert_close(term, exact[name], rtol=0.1, atol=0.1)


@each_task
def test_a_training_step_never_waits_for_the_device(task: Task) -> None:
    head = make_head(task)
    features, targets = make_features(2, (64, 64)), make_targets(task, 2, (64, 64))
    labelled = torch.tensor([True, False])
    with NoHostSync():
        sum(head.loss(answer(head, features), targets, labelled).values()).backward()


def test_waiting_for_the_device_is_noticed() -> None:
    values = torch.arange(3)
    with NoHostSync(), pytest.raises(AssertionError, match="waits for the device"):
        values[0].item()
    with NoHostSync(), pytest.raises(AssertionError, match="waits for the device"):
        values[values > 1].sum()


@each_task
@each_size
def test_predictions_are_finite_and_drawn_on_an_enlarged_copy(task: Task, size: tuple[int, int]) -> None:
    head = make_head(task).eval()
    with torch.no_grad():
        predictions = head.decode(answer(head, make_features(2, size)), size)
    assert all(len(value) == 2 for value in predictions.values())
    assert all(torch.isfinite(value).all() for value in predictions.values())
    image = np.full((*size, 3), 127, np.uint8)
    picture = head.draw(image, predictions, 1)
    assert picture.dtype == np.uint8
    assert max(picture.shape[:2]) >= 384
    assert picture.shape[0] * size[1] == picture.shape[1] * size[0]
    assert (image == 127).all()


@each_task
def test_metric_leaves_unlabelled_images_out(task: Task) -> None:
    labelled = torch.tensor([False, True, True, False])
    head = make_head(task).eval()
    targets = make_targets(task, 4, (64, 64))
    with torch.no_grad():
        predictions = head.decode(answer(head, make_features(4, (64, 64))), (64, 64))
    mixed, alone = head.metric(), head.metric()
    mixed.update(predictions, spoil(targets, ~labelled), labelled)
    alone.update(rows(predictions, labelled), rows(targets, labelled), torch.tensor([True, True]))
    assert mixed.compute() == alone.compute()
    primary = alone.scores[0]
    assert primary.better is Better.HIGHER
    assert alone.compute()[primary.name] <= 1


@each_task
def test_metric_adds_up_over_batches(task: Task) -> None:
    head = make_head(task).eval()
    targets = make_targets(task, 4, (64, 64))
    with torch.no_grad():
        predictions = head.decode(answer(head, make_features(4, (64, 64))), (64, 64))
    at_once, in_parts = head.metric(), head.metric()
    at_once.update(predictions, targets, torch.ones(4, dtype=torch.bool))
    for part in (slice(0, 3), slice(3, 4)):
        chosen = torch.zeros(4, dtype=torch.bool)
        chosen[part] = True
        in_parts.update(rows(predictions, chosen), rows(targets, chosen), chosen[chosen])
    assert in_parts.compute() == pytest.approx(at_once.compute())


@each_task
def test_metric_is_nan_if_nothing_is_labelled(task: Task) -> None:
    head = make_head(task).eval()
    empty, unlabelled = head.metric(), head.metric()
    with torch.no_grad():
        predictions = head.decode(answer(head, make_features(2, (64, 64))), (64, 64))
    unlabelled.update(predictions, make_targets(task, 2, (64, 64)), torch.tensor([False, False]))
    for metric in (empty, unlabelled):
        scores = metric.compute()
        assert set(scores) == {score.name for score in metric.scores}
        assert all(np.isnan(score) for score in scores.values())


@each_task
def test_a_missing_level_is_refused_and_the_existing_ones_are_listed(task: Task) -> None:
    field = "level" if "level" in type(OPTIONS[task]).model_fields else "top_level"
    options = OPTIONS[task].model_copy(update={field: 6})
    with pytest.raises(FatalError, match="no level 6; there are the levels 3, 4, 5") as raised:
        REGISTRY[task](options, {3: 8, 4: 8, 5: 8}, make_labels())
    assert raised.value.reason is Reason.BAD_MODEL


@each_task
def test_a_head_without_the_labels_it_needs_is_refused(task: Task) -> None:
    head = make_head(task)
    assert head.task is task
    for part in head.needs:
        empty = dataclasses.replace(make_labels(), **{part: type(getattr(make_labels(), part))()})
        with pytest.raises(FatalError, match=f"{task.words} has no {part} to learn") as raised:
            REGISTRY[task](OPTIONS[task], {3: 8, 4: 8, 5: 8}, empty)
        assert raised.value.reason is Reason.BAD_DATASET


def test_a_task_without_a_head_is_refused_and_the_others_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(REGISTRY, Task.REGRESSION)
    with pytest.raises(FatalError, match=r"no head for regression; it has heads for: .*object detection") as raised:
        head_factory(Task.REGRESSION)
    assert raised.value.reason is Reason.BAD_MODEL
