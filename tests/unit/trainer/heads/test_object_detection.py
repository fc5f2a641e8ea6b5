import pytest
import torch
from torch import Tensor

from headrace_api.tasks import Task
from headrace_testing.head_cases import make_features, make_head, make_targets
from headrace_trainer.heads.dense_boxes import Cells, detect
from headrace_trainer.ops.boxes import iou
from headrace_trainer.ops.grid import Level, cell_centers

TASK = Task.OBJECT_DETECTION
SIZE = (96, 128)
LEVELS = (3, 4, 5)
LABELLED = torch.tensor([True])


def objects(boxes: list[list[float]], classes: list[int], crowd: list[bool] | None = None) -> dict[str, Tensor]:
    """Targets for one image, with one padded object."""
    count = len(boxes)
    return {
        "boxes": torch.tensor([[*boxes, [0.0, 0.0, 0.0, 0.0]]]),
        "classes": torch.tensor([[*classes, 0]]),
        "valid": torch.tensor([[True] * count + [False]]),
        "crowd": torch.tensor([[*(crowd or [False] * count), False]]),
    }


def answers(targets: dict[str, Tensor], classes: int = 3, score: float = 0.999) -> dict[str, Tensor]:
    """Correct outputs: cells whose centre is in one object predict its box and class; the others predict nothing."""
    outputs = {}
    for number in LEVELS:
        level = Level(-(-SIZE[0] // 2**number), -(-SIZE[1] // 2**number), 2**number)
        logits = torch.full((1, classes, level.cells), -9.0)
        distances = torch.full((1, 4, level.cells), 1.0)
        centers = cell_centers(level, logits.device)
        for box, label in zip(targets["boxes"][0][targets["valid"][0]], targets["classes"][0].tolist(), strict=False):
            inside = ((centers >= box[:2]) & (centers < box[2:])).all(dim=1)
            logits[0, label, inside] = torch.tensor(score).logit()
            sides = torch.cat([centers - box[:2], box[2:] - centers], dim=1)
            distances[0, :, inside] = sides[inside].T
        outputs[f"logits{number}"] = logits.view(1, classes, level.height, level.width).requires_grad_()
        outputs[f"distances{number}"] = distances.view(1, 4, level.height, level.width).requires_grad_()
    return outputs


THREE = objects([[8.0, 8.0, 40.0, 30.0], [50.0, 20.0, 120.0, 90.0], [10.0, 50.0, 35.0, 95.0]], [2, 0, 2])


def test_decoding_right_outputs_gives_the_objects_back() -> None:
    found = make_head(TASK).decode(answers(THREE), SIZE)
    sure = found["valid"][0] & (found["scores"][0] > 0.5)
    rows = sorted(zip(found["boxes"][0][sure].tolist(), found["classes"][0][sure].tolist(), strict=True))
    want = sorted(zip(THREE["boxes"][0, :3].tolist(), THREE["classes"][0, :3].tolist(), strict=True))
    assert [label for _, label in rows] == [label for _, label in want]
    torch.testing.assert_close(torch.tensor([box for box, _ in rows]), torch.tensor([box for box, _ in want]))


def test_right_outputs_score_one() -> None:
    head = make_head(TASK)
    metric = head.metric()
    with torch.no_grad():
        metric.update(head.decode(answers(THREE), SIZE), THREE, LABELLED)
    assert metric.compute() == pytest.approx({"AP": 1.0, "AP50": 1.0, "AP75": 1.0})


def test_right_outputs_have_no_box_loss_and_wrong_ones_do() -> None:
    head = make_head(TASK)
    assert head.loss(answers(THREE), THREE, LABELLED)["boxes"].item() == pytest.approx(0, abs=1e-5)
    moved = {**THREE, "boxes": THREE["boxes"] + 5}
    assert head.loss(answers(THREE), moved, LABELLED)["boxes"].item() > 0.1


def test_predictions_are_sorted_clipped_and_padded() -> None:
    head = make_head(TASK).eval()
    with torch.no_grad():
        found = head.decode(head(make_features(2, SIZE)), SIZE)
    assert found["boxes"].shape == (2, 20, 4)
    assert (found["scores"].diff(dim=1) <= 0).all()
    assert (found["boxes"] >= 0).all()
    assert (found["boxes"][..., 0::2] <= SIZE[1]).all()
    assert (found["boxes"][..., 1::2] <= SIZE[0]).all()
    assert not found["scores"][~found["valid"]].any()


def test_fewer_cells_than_detections_are_padded() -> None:
    head = make_head(TASK, classes=1, levels=(5,)).eval()
    with torch.no_grad():
        found = head.decode(head(make_features(1, (32, 32), levels=(5,))), (32, 32))
    assert found["valid"].sum() == 1
    assert found["boxes"].shape == (1, 20, 4)


def test_overlapping_boxes_of_one_class_are_merged_and_of_two_are_not() -> None:
    box = [16.0, 16.0, 80.0, 80.0]
    one, two = objects([box], [1]), objects([box, box], [1, 2])
    head = make_head(TASK)
    for targets, want in ((one, 1), (two, 2)):
        found = head.decode(answers(targets), SIZE)
        assert (found["scores"] > 0.5).sum() == want


def test_small_boxes_are_as_precise_in_the_last_of_many_classes_as_in_the_first() -> None:
    """Non-maximum suppression separates classes by shifting their boxes so far that float32 loses their fractions."""
    boxes = torch.tensor([[[1000.1875, 500.0, 1007.1875, 507.0], [1002.0625, 500.0, 1009.0625, 507.0], [0.0, 0.0, 1333.0, 800.0]]])
    assert iou(boxes[0, 0], boxes[0, 1]) == pytest.approx(0.578, abs=0.001), "not enough to be one object"
    for label in (1, 1202):
        logits = torch.full((1, 3, 1203), -9.0)
        logits[0, :2, label], logits[0, 2, 0] = torch.tensor([3.0, 2.0]), 1.0
        found = detect(Cells((), logits, boxes), (800, 1333), max_detections=3)
        assert found.cell.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("levels", [(2, 3, 4), (3, 4, 5, 6, 7), (4,), (7,)], ids=str)
def test_any_set_of_levels_learns(levels: tuple[int, ...]) -> None:
    head = make_head(TASK, levels=levels)
    features = make_features(2, (96, 96), levels=levels)
    sum(head.loss(head(features), make_targets(TASK, 2, (96, 96)), torch.tensor([True, True])).values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any() for p in head.parameters())


def test_images_without_objects_teach_what_is_not_there() -> None:
    head = make_head(TASK)
    nothing = objects([], [])
    terms = head.loss(head(make_features(1, SIZE)), nothing, LABELLED)
    assert terms["boxes"].item() == 0.0
    assert terms["classification"].item() > 0
    terms["classification"].backward()
    gradient = head.get_parameter("dense.class_output.bias").grad
    assert gradient is not None
    assert (gradient > 0).all()  # a descent step lowers every score


ODD_BOXES = {
    "no area": [20.0, 20.0, 20.0, 20.0],
    "no height": [20.0, 20.0, 60.0, 20.0],
    "above the image": [-50.0, -50.0, -10.0, -10.0],
    "below the image": [500.0, 500.0, 900.0, 900.0],
    "huge": [-1e6, -1e6, 1e6, 1e6],
}


@pytest.mark.parametrize("box", ODD_BOXES.values(), ids=ODD_BOXES.keys())
def test_odd_boxes_are_finite(box: list[float]) -> None:
    head = make_head(TASK)
    terms = head.loss(head(make_features(1, SIZE)), objects([box], [1]), LABELLED)
    sum(terms.values()).backward()
    assert all(torch.isfinite(term) for term in terms.values())
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


def test_cells_in_a_crowd_learn_nothing_but_the_objects_among_it() -> None:
    crowd, single = [32.0, 32.0, 96.0, 96.0], [40.0, 40.0, 80.0, 80.0]
    outputs = answers(objects([single], [1]), score=0.3)
    head = make_head(TASK)
    head.loss(outputs, objects([crowd, single], [1, 1], crowd=[True, False]), LABELLED)["classification"].backward()
    for number in LEVELS:
        gradient = outputs[f"logits{number}"].grad
        assert gradient is not None
        centers = cell_centers(Level(*gradient.shape[2:], 2**number), gradient.device).view(*gradient.shape[2:], 2)
        inside = ((centers >= 32) & (centers < 96)).all(dim=-1)
        assert (gradient[0, 0][inside] == 0).all()
        assert (gradient[0, 1][inside] <= 0).all()  # scores rise where the object is, or do not change
        assert gradient[0, :, ~inside].all()
    assert (outputs["logits3"].grad[0, 1] < 0).any()


def test_a_crowd_is_neither_found_nor_missed_by_the_metric() -> None:
    single, crowd = [8.0, 8.0, 40.0, 30.0], [50.0, 20.0, 120.0, 90.0]
    both = objects([single, crowd], [0, 0], crowd=[False, True])
    head = make_head(TASK)
    for found in (objects([single], [0]), objects([single, crowd], [0, 0])):
        metric = head.metric()
        with torch.no_grad():
            metric.update(head.decode(answers(found), SIZE), both, LABELLED)
        assert metric.compute()["AP"] == pytest.approx(1.0)
