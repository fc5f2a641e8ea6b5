import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from headrace_api.heads import KeypointDetection
from headrace_api.tasks import Task
from headrace_testing.dense_answers import LEVELS, dense_answers, in_frame
from headrace_testing.head_cases import KEYPOINTS, make_features, make_head, make_labels, make_targets, spoil
from headrace_testing.memorising import Memoriser
from headrace_testing.turned_digits import make_turned_digits
from headrace_trainer.data.annotations.keypoint_table import KeypointTable
from headrace_trainer.data.annotations.keypoints import KeypointList
from headrace_trainer.data.targets.geometry import letterbox
from headrace_trainer.heads.keypoint_detection import KeypointDetectionMetric
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.drawing import color_of

TASK = Task.KEYPOINT_DETECTION
SIZE = (64, 160)
LABELLED = torch.tensor([True])
SIGMAS = (0.025, 0.05, 0.08, 0.1)


def objects(
    boxes: list[list[float]], keypoints: Tensor, visibility: list[list[int]], crowd: list[bool] | None = None
) -> dict[str, Tensor]:
    """Targets for one image, all of class 1, with one padded object; keypoints are [N, 4, 2]."""
    count = len(boxes)
    sides = torch.tensor([*boxes, [0.0] * 4])
    return {
        "boxes": sides[None],
        "classes": torch.tensor([[1] * count + [0]]),
        "valid": torch.tensor([[True] * count + [False]]),
        "crowd": torch.tensor([[*(crowd or [False] * count), False]]),
        "keypoints": torch.cat([keypoints, torch.zeros(1, 4, 2)])[None],
        "visibility": torch.tensor([[*visibility, [0] * 4]]),
        "area": 0.5 * (sides[:, 2:] - sides[:, :2]).prod(dim=1)[None],
    }


def answers(targets: dict[str, Tensor], size: tuple[int, int] = SIZE) -> dict[str, Tensor]:
    """Correct outputs."""
    there = targets["valid"][0]
    boxes = targets["boxes"][0][there]
    seen = torch.where(targets["visibility"][0][there] > 0, 9.0, -9.0)
    points = torch.cat([in_frame(targets["keypoints"][0][there], boxes), seen[..., None]], dim=-1)
    return dense_answers(size, boxes, targets["classes"][0][there].tolist(), more={"points": points.flatten(1)})


def found(targets: dict[str, Tensor]) -> dict[str, Tensor]:
    """The targets as predictions."""
    there = {key: targets[key] for key in ("boxes", "classes", "keypoints", "valid")}
    seen = (targets["visibility"] > 0).float()
    return {**there, "keypoint_scores": seen, "scores": targets["valid"].float() * 0.9}


BOXES = [[10.0, 6, 50, 60], [90, 20, 150, 50]]
POINTS = torch.tensor([[[12.0, 10], [48, 9], [30, 57], [52, 62]], [[95, 22], [91, 49], [149, 21], [120, 35]]])
TWO = objects(BOXES, POINTS, [[2, 1, 2, 2], [2, 2, 1, 0]])


def test_eight_images_are_memorised_next_to_two_unlabelled_ones() -> None:
    """Seen: AP 0.981 after 130 iterations, 14 s of CPU time on one core of an Intel Xeon."""
    torch.set_num_threads(1)
    scenes = make_turned_digits(10)
    labelled = torch.arange(10) < 8
    corners = ("top_left", "top_right", "bottom_right", "bottom_left")
    labels = LabelSpace(classes=("digit",), keypoints=corners, mirrored=(1, 0, 3, 2), sigmas=(0.05,) * 4)
    memoriser = Memoriser(TASK, KeypointDetection(), labels, top_level=3)
    memoriser.train(scenes.images, spoil(scenes.keypoint_targets, ~labelled), iterations=130, peak=0.006, labelled=labelled)
    scores = memoriser.scores(scenes.images, scenes.keypoint_targets, labelled)
    assert scores["AP"] >= 0.9


def test_keypoints_of_an_image_that_is_not_square_are_where_they_were_annotated() -> None:
    """From an image of 128 × 320 to the network's input of 64 × 160: the axes must not be swapped."""
    table = KeypointTable.of(KEYPOINTS, (1, 0, 2, 3))
    listed = KeypointList(
        table,
        boxes=2 * np.array(BOXES, np.float32),
        classes=np.array([1, 1]),
        crowd=np.array([False, False]),
        keypoints=2 * POINTS.numpy(),
        visibility=np.array([[2, 1, 2, 2], [2, 2, 1, 2]]),
        area=np.array([4000.0, 3000.0], np.float32),
        normalised=False,
    )
    rendered = listed.render(letterbox((128, 320), SIZE))
    targets = {
        **objects(rendered.boxes.tolist(), torch.from_numpy(rendered.keypoints), rendered.visibility.tolist()),
        "area": torch.tensor([[*rendered.area.tolist(), 0.0]]),
    }
    torch.testing.assert_close(targets["keypoints"][0, :2], POINTS)
    assert targets["area"].tolist() == [[1000, 750, 0]]

    head = make_head(TASK)
    outputs = answers(targets)
    given = head.decode(outputs, SIZE)
    sure = given["scores"][0] > 0.5
    order = given["boxes"][0][sure][:, 0].argsort()
    torch.testing.assert_close(given["keypoints"][0][sure][order], POINTS, atol=1e-3, rtol=0)
    terms = head.loss(outputs, targets, LABELLED)
    assert terms["keypoints"].item() == pytest.approx(0, abs=1e-6)
    assert terms["boxes"].item() == pytest.approx(0, abs=1e-5)
    metric = head.metric()
    metric.update({key: value.detach() for key, value in given.items()}, targets, LABELLED)
    assert metric.compute() == pytest.approx({"AP": 1.0, "AP50": 1.0, "AP75": 1.0})


@pytest.mark.parametrize("size", [(64, 160), (160, 64), (33, 70)], ids=str)
def test_positions_are_learned_correctly_on_both_axes(size: tuple[int, int]) -> None:
    """Gradient descent finds the annotated pixels, in images that are wide, tall, and not a multiple of a cell."""
    height, width = size
    box = [0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height]
    points = torch.tensor([[[0.2, 0.3], [0.7, 0.2], [0.8, 0.8], [0.15, 0.85]]]) * torch.tensor([width, height])
    targets = objects([box], points, [[2, 2, 2, 2]])
    outputs = {name: value.detach() for name, value in answers(targets, size).items()}
    said = torch.zeros(12).requires_grad_()  # shared by every cell
    head, optimizer = make_head(TASK), torch.optim.Adam([said], lr=0.05)
    for _ in range(150):
        points = {key: said[:, None, None].expand_as(value[0])[None] for key, value in outputs.items() if key.startswith("points")}
        head.loss({**outputs, **points}, targets, LABELLED)["keypoints"].backward()
        optimizer.step()
        optimizer.zero_grad()
    given = head.decode({**outputs, **{key: value.detach() for key, value in points.items()}}, size)
    assert (given["keypoints"][0, 0] - targets["keypoints"][0, 0]).norm(dim=-1).max() < 0.01 * max(size)


def test_a_distant_keypoint_is_pulled_at_least_as_hard_as_a_close_one() -> None:
    """1 - OKS is flat there: its gradient would be 0."""
    head = make_head(TASK)
    gradients = []
    for moved in (1.0, 30.0, 1000.0):
        outputs = answers(TWO)
        far = {**TWO, "keypoints": TWO["keypoints"] + torch.tensor([moved, 0.0])}
        head.loss(outputs, far, LABELLED)["keypoints"].backward()
        gradients.append(torch.cat([outputs[f"points{level}"].grad[0, 0::3].flatten() for level in LEVELS]))
    assert gradients[0].any()
    for gradient in gradients:
        assert (gradient <= 0).all()
    assert gradients[1].sum() <= gradients[0].sum()
    torch.testing.assert_close(gradients[2], gradients[1])


def test_keypoints_that_people_place_exactly_are_learned_more_exactly() -> None:
    head = make_head(TASK)
    head.tolerances.copy_(2 * torch.tensor(SIGMAS))
    outputs = answers(TWO)
    moved = {**TWO, "keypoints": TWO["keypoints"] + 5}
    head.loss(outputs, moved, LABELLED)["keypoints"].backward()
    sums = torch.stack([outputs[f"points{level}"].grad[0].unflatten(0, (4, 3))[:3, 0].sum(dim=(1, 2)) for level in LEVELS]).sum(
        dim=0
    )
    assert (sums.diff() > 0).all(), "all negative, and the first keypoint's largest"


def test_hidden_keypoints_are_learned_and_unlabelled_ones_never_read() -> None:
    head = make_head(TASK)
    outputs = head(make_features(1, SIZE))
    want = head.loss(outputs, TWO, LABELLED)
    odd = TWO["keypoints"].clone()
    odd[TWO["visibility"] == 0] = float("nan")
    got = head.loss(outputs, {**TWO, "keypoints": odd}, LABELLED)
    assert {name: term.item() for name, term in got.items()} == {name: term.item() for name, term in want.items()}
    all_visible = {**TWO, "visibility": TWO["visibility"].clamp(max=1) * 2}
    assert head.loss(outputs, all_visible, LABELLED)["keypoints"].item() == want["keypoints"].item()
    assert head.loss(answers(TWO), TWO, LABELLED)["visibility"].item() < 0.01
    assert (
        head.loss(answers(all_visible), {**TWO, "visibility": 2 - TWO["visibility"].clamp(max=1)}, LABELLED)["visibility"].item()
        > 1
    )


def test_an_object_without_labelled_keypoints_teaches_its_box_alone() -> None:
    head = make_head(TASK)
    outputs = head(make_features(1, SIZE))
    targets = objects(BOXES, POINTS, [[2, 1, 2, 2], [0, 0, 0, 0]])
    both = head.loss(outputs, targets, LABELLED)
    one = head.loss(outputs, {**targets, "valid": torch.tensor([[True, False, False]])}, LABELLED)
    for term in ("keypoints", "visibility"):
        torch.testing.assert_close(both[term], one[term])
    assert (both["boxes"] - one["boxes"]).abs() > 1e-3


@pytest.mark.parametrize("crowd", [False, True], ids=["no keypoint", "crowds"])
def test_images_without_a_keypoint_to_learn_are_finite(crowd: bool) -> None:
    head = make_head(TASK)
    outputs = head(make_features(1, SIZE))
    targets = objects(BOXES, POINTS, [[2 * crowd] * 4] * 2, crowd=[crowd, crowd])
    terms = head.loss(outputs, targets, LABELLED)
    assert terms["keypoints"].item() == terms["visibility"].item() == 0
    sum(terms.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)
    metric = head.metric()
    metric.update({key: value.detach() for key, value in head.decode(outputs, SIZE).items()}, targets, LABELLED)
    assert all(np.isnan(score) for score in metric.compute().values())


def test_objects_without_area_are_finite() -> None:
    head = make_head(TASK)
    targets = objects([[20.0, 20, 20, 20], [-50, -50, -10, -10]], POINTS, [[2] * 4] * 2)
    terms = head.loss(head(make_features(1, SIZE)), targets, LABELLED)
    sum(terms.values()).backward()
    assert all(torch.isfinite(term) for term in terms.values())
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


def test_predictions_are_sorted_and_padded() -> None:
    head = make_head(TASK).eval()
    with torch.no_grad():
        given = head.decode(head(make_features(2, (33, 70))), (33, 70))
    assert given["keypoints"].shape == (2, 10, 4, 2)
    assert given["keypoint_scores"].shape == (2, 10, 4)
    assert (given["scores"].diff(dim=1) <= 0).all()
    few = make_head(TASK, classes=1, levels=(5,)).eval()
    with torch.no_grad():
        given = few.decode(few(make_features(1, (32, 32), levels=(5,))), (32, 32))
    assert given["valid"].sum() == 1
    assert not given["keypoints"][~given["valid"]].any()
    assert not given["keypoint_scores"][~given["valid"]].any()


@pytest.mark.parametrize("levels", [(2, 3, 4), (3, 4, 5, 6, 7), (4,), (7,)], ids=str)
def test_any_set_of_levels_learns(levels: tuple[int, ...]) -> None:
    head = make_head(TASK, levels=levels)
    features = make_features(2, (96, 96), levels=levels)
    sum(head.loss(head(features), make_targets(TASK, 2, (96, 96)), torch.tensor([True, True])).values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any() for p in head.parameters())


def random_scene(rng: np.random.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Targets and predictions for one image, with crowds, objects without keypoints, and more predictions than COCO counts."""
    count, extra = int(rng.integers(0, 8)), int(rng.integers(0, 90))
    corner = torch.from_numpy(rng.uniform(0, 60, (count + extra, 2))).float()
    boxes = torch.cat([corner, corner + torch.from_numpy(rng.uniform(10, 40, (count + extra, 2))).float()], dim=1)
    sides = boxes[:, 2:] - boxes[:, :2]
    points = boxes[:, None, :2] + torch.from_numpy(rng.random((count + extra, 4, 2))).float() * sides[:, None]
    visibility = torch.from_numpy(rng.integers(0, 3, (count, 4)))
    visibility[torch.from_numpy(rng.random(count) < 0.25)] = 0
    crowd = torch.from_numpy(rng.random(count) < 0.15)
    classes = torch.from_numpy(rng.integers(0, 3, count + extra))
    truth = {
        "boxes": boxes[:count],
        "classes": classes[:count],
        "valid": torch.ones(count, dtype=torch.bool),
        "crowd": crowd,
        "keypoints": torch.where(visibility[..., None] > 0, points[:count], 0),
        "visibility": visibility * ~crowd[:, None],
        "area": 0.6 * sides[:count].prod(dim=1),
    }
    noise = torch.from_numpy(rng.normal(0, 1, points.shape)).float()
    given = {
        "boxes": boxes,
        "classes": classes,
        "keypoints": points + noise,
        "keypoint_scores": torch.from_numpy(rng.random((count + extra, 4))).float(),
        "scores": torch.from_numpy(np.concatenate([rng.uniform(0.3, 1, count), rng.uniform(0, 0.8, extra)])).float(),
        "valid": torch.ones(count + extra, dtype=torch.bool),
    }
    return {key: value[None] for key, value in truth.items()}, {key: value[None] for key, value in given.items()}


def pycocotools_scores(scenes: list[tuple[dict[str, Tensor], dict[str, Tensor]]]) -> list[float]:
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (truth, given) in enumerate(scenes):
        for number, (x0, y0, x1, y1) in enumerate(truth["boxes"][0].double().tolist()):
            visibility = truth["visibility"][0, number]
            triples = torch.cat([truth["keypoints"][0, number].double(), visibility[:, None]], dim=1)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(truth["classes"][0, number]),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": float(truth["area"][0, number]),
                    "iscrowd": int(truth["crowd"][0, number]),
                    "keypoints": triples.flatten().tolist(),
                    "num_keypoints": int((visibility > 0).sum()),
                }
            )
        for number, score in enumerate(given["scores"][0].tolist()):
            triples = torch.cat([given["keypoints"][0, number].double(), torch.ones(4, 1)], dim=1)
            label = int(given["classes"][0, number])
            results.append({"image_id": image, "category_id": label, "keypoints": triples.flatten().tolist(), "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(scenes))],
            "categories": [{"id": label} for label in range(3)],
            "annotations": annotations,
        }
        gt.createIndex()
        evaluation = COCOeval(gt, gt.loadRes(results), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(SIGMAS)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    scores: list[float] = evaluation.stats[:3].tolist()
    return scores


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenes = [random_scene(rng) for _ in range(10)]
    assert any(truth["crowd"].any() for truth, _ in scenes)
    assert any((given["classes"][0].bincount() > 20).any() for _, given in scenes)
    metric = KeypointDetectionMetric(3, SIGMAS)
    for number, (truth, given) in enumerate(scenes):
        metric.update(given, truth, torch.tensor([number != 4]))
    want = pycocotools_scores([scene for number, scene in enumerate(scenes) if number != 4])
    assert 0.05 < want[0] < 0.95
    assert list(metric.compute().values()) == pytest.approx(want, abs=1e-6)


def score(truth: dict[str, Tensor], given: dict[str, Tensor]) -> dict[str, float]:
    metric = KeypointDetectionMetric(3, SIGMAS)
    metric.update(given, truth, LABELLED)
    return metric.compute()


@pytest.mark.parametrize("ignored", [{"crowd": [False, True]}, {"visibility": [[2] * 4, [0] * 4]}], ids=["crowd", "no keypoint"])
def test_objects_without_keypoints_to_find_are_neither_found_nor_missed(ignored: dict[str, Any]) -> None:
    truth = objects(BOXES, POINTS, **{"visibility": [[2] * 4] * 2, **ignored})
    for count in (1, 2):
        given = objects(BOXES[:count], POINTS[:count], [[2] * 4] * count)
        assert score(truth, found(given))["AP"] == pytest.approx(1)


def test_nothing_found_scores_zero() -> None:
    assert score(TWO, found({**TWO, "valid": torch.zeros_like(TWO["valid"])})) == {"AP": 0, "AP50": 0, "AP75": 0}


def test_keypoints_and_the_lines_between_them_are_drawn_where_they_are() -> None:
    head = make_head(TASK)
    assert make_labels().skeleton == ((0, 2), (1, 2), (2, 3))
    image = np.full((*SIZE, 3), 127, np.uint8)
    predictions = {**found(TWO), "keypoint_scores": torch.tensor([[[0.9, 0.9, 0.9, 0.1], [0.0] * 4, [0.0] * 4]])}
    picture = head.draw(image, predictions, 0)
    scale = picture.shape[0] // SIZE[0]

    def colors_at(place: Tensor) -> set[tuple[int, ...]]:
        x, y = (scale * place).round().int().tolist()
        return {tuple(pixel) for pixel in picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).tolist()}

    points = POINTS[0]
    assert [colors_at(points[number]) == {color_of(number)} for number in range(3)] == [True] * 3
    for start, end in ((0, 2), (1, 2)):
        assert color_of(1) in colors_at((points[start] + points[end]) / 2)
    assert (picture[62 * scale, 52 * scale] == 127).all(), "a keypoint that scores too little"
    assert (picture[35 * scale, 120 * scale] == 127).all(), "nor one of another object"
