import contextlib
import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from headrace_api.heads import QuadrilateralDetection
from headrace_api.tasks import Task
from headrace_scenes import DIGITS
from headrace_testing.dense_answers import dense_answers, in_frame
from headrace_testing.head_cases import make_features, make_head, make_targets, spoil
from headrace_testing.memorising import Memoriser
from headrace_testing.turned_digits import make_turned_digits
from headrace_trainer.data.annotations.quads import QuadList
from headrace_trainer.data.targets.geometry import letterbox
from headrace_trainer.heads.dense_boxes import NMS_IOU
from headrace_trainer.heads.quadrilateral_detection import QuadrilateralDetectionMetric, corner_errors
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.drawing import color_of
from headrace_trainer.ops.quad_overlap import bounds, iou

TASK = Task.QUADRILATERAL_DETECTION
SIZE = (64, 160)
LABELLED = torch.tensor([True])


def turned(center: tuple[float, float], sides: tuple[float, float], degrees: float) -> Tensor:
    """Corners [4, 2] of a rectangle that is rotated clockwise on screen."""
    corners = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * torch.tensor(sides)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return corners @ torch.tensor([[cos, sin], [-sin, cos]]) + torch.tensor(center)


def objects(quads: list[Tensor], classes: list[int], crowd: list[bool] | None = None) -> dict[str, Tensor]:
    """Targets for one image, with one padded object."""
    return {
        "quads": torch.stack([*quads, torch.zeros(4, 2)])[None],
        "classes": torch.tensor([[*classes, 0]]),
        "valid": torch.tensor([[True] * len(quads) + [False]]),
        "crowd": torch.tensor([[*(crowd or [False] * len(quads)), False]]),
    }


def answers(targets: dict[str, Tensor], size: tuple[int, int] = SIZE) -> dict[str, Tensor]:
    """Correct outputs."""
    there = targets["valid"][0]
    boxes = bounds(targets["quads"][0][there])
    corners = in_frame(targets["quads"][0][there], boxes).flatten(1)
    return dense_answers(size, boxes, targets["classes"][0][there].tolist(), more={"corners": corners})


def found(targets: dict[str, Tensor], scores: list[float] | None = None) -> dict[str, Tensor]:
    """The targets as predictions."""
    sure = targets["valid"].float() * 0.9 if scores is None else torch.tensor([[*scores, 0.0]])
    return {"quads": targets["quads"], "classes": targets["classes"], "valid": targets["valid"], "scores": sure}


THREE = objects([turned((30, 30), (40, 12), 20), turned((100, 20), (30, 25), 200), turned((130, 45), (20, 30), -80)], [2, 0, 2])


def test_eight_images_are_memorised_next_to_two_unlabelled_ones() -> None:
    """Seen: AP 1.0 after 130 iterations, 14 s of CPU time on one core of an Intel Xeon."""
    torch.set_num_threads(1)
    scenes = make_turned_digits(10)
    labelled = torch.arange(10) < 8
    memoriser = Memoriser(TASK, QuadrilateralDetection(max_detections=20), LabelSpace(classes=DIGITS), top_level=3)
    memoriser.train(scenes.images, spoil(scenes.quad_targets, ~labelled), iterations=130, peak=0.006, labelled=labelled)
    scores = memoriser.scores(scenes.images, scenes.quad_targets, labelled)
    assert scores["AP"] >= 0.95

    memoriser.network.eval()
    with torch.no_grad():
        given = memoriser.head.decode(memoriser.network(scenes.images[:8])["head"], (64, 64))
    for image, number in scenes.here[:8].nonzero().tolist():
        truth = scenes.corners[image, number]
        best = iou(given["quads"][image], truth.expand_as(given["quads"][image])).argmax()
        assert (given["quads"][image, best] - truth).norm(dim=-1).max() < 3, (
            "corners are in the annotated order, whichever is upper left"
        )


def test_corners_never_jump_as_an_object_turns() -> None:
    """The targets move as little as the object does, and correct predictions keep the annotated order."""
    head = make_head(TASK)
    before = None
    for degrees in range(0, 365, 5):
        quad = turned((400, 160), (200, 60), degrees)
        listed = QuadList(quad[None].numpy(), classes=np.array([1]), crowd=np.array([False]), normalised=False)
        placed = torch.from_numpy(listed.render(letterbox((320, 800), SIZE)).quads)
        torch.testing.assert_close(placed[0], quad / 5)
        if before is not None:
            assert (placed - before).norm(dim=-1).max() < 0.1 * 20, "2 sin(2.5°) × half the diagonal of 42 pixels, and no more"
        before = placed
        targets = objects([placed[0]], [1])
        outputs = answers(targets)
        assert head.loss(outputs, targets, LABELLED)["corners"].item() == pytest.approx(0, abs=1e-4)
        for turn in (1, 2, 3):
            other = {**targets, "quads": targets["quads"].roll(turn, dims=2)}
            assert head.loss(outputs, other, LABELLED)["corners"].item() > 0.1, "corner order is learned, not only the outline"
        given = head.decode(outputs, SIZE)
        sure = given["scores"][0] > 0.5
        torch.testing.assert_close(given["quads"][0, sure], placed, atol=1e-3, rtol=0)


def test_decoding_right_outputs_gives_the_objects_back() -> None:
    given = make_head(TASK).decode(answers(THREE), SIZE)
    sure = given["valid"][0] & (given["scores"][0] > 0.5)
    order, wanted = given["quads"][0][sure][:, 0, 0].argsort(), THREE["quads"][0, :3][:, 0, 0].argsort()
    torch.testing.assert_close(given["quads"][0][sure][order], THREE["quads"][0, :3][wanted], atol=1e-3, rtol=0)
    assert given["classes"][0][sure][order].tolist() == THREE["classes"][0, :3][wanted].tolist()
    metric = make_head(TASK).metric()
    metric.update({key: value.detach() for key, value in given.items()}, THREE, LABELLED)
    assert metric.compute() == pytest.approx({"AP": 1.0, "AP50": 1.0, "AP75": 1.0})


def test_errors_are_relative_to_width_and_height_whatever_the_rotation() -> None:
    for degrees in range(0, 360, 15):
        truth = turned((50, 50), (40, 8), degrees)
        moved = turned((52, 50), (40, 8), 0) - turned((50, 50), (40, 8), 0)
        along = turned((0, 0), (2, 2), degrees)[1] - turned((0, 0), (2, 2), degrees)[0]
        assert moved[0].tolist() == [2, 0]
        errors = corner_errors(truth + along, truth)
        torch.testing.assert_close(errors, torch.tensor([0.05, 0.0]).expand(4, 2), atol=1e-5, rtol=0)
        across = turned((0, 0), (2, 2), degrees)[3] - turned((0, 0), (2, 2), degrees)[0]
        torch.testing.assert_close(corner_errors(truth + across, truth), torch.tensor([0.0, 0.25]).expand(4, 2), atol=1e-5, rtol=0)


def test_neighbouring_tilted_lines_are_told_apart() -> None:
    lines = objects([turned((60, 30), (50, 7), 40), turned((64.8, 24.3), (50, 7), 40)], [1, 1])
    boxes = bounds(lines["quads"][0, :2])
    common = (torch.minimum(boxes[0, 2:], boxes[1, 2:]) - torch.maximum(boxes[0, :2], boxes[1, :2])).prod()
    assert common / (2 * (boxes[0, 2:] - boxes[0, :2]).prod() - common) > NMS_IOU
    given = make_head(TASK).decode(answers(lines), SIZE)
    assert (given["scores"] > 0.5).sum() == 2


def test_predictions_are_sorted_and_padded() -> None:
    head = make_head(TASK).eval()
    with torch.no_grad():
        given = head.decode(head(make_features(2, (33, 70))), (33, 70))
    assert given["quads"].shape == (2, 20, 4, 2)
    assert (given["scores"].diff(dim=1) <= 0).all()
    few = make_head(TASK, classes=1, levels=(5,)).eval()
    with torch.no_grad():
        given = few.decode(few(make_features(1, (32, 32), levels=(5,))), (32, 32))
    assert given["valid"].sum() == 1
    assert not given["quads"][~given["valid"]].any()


@pytest.mark.parametrize("levels", [(2, 3, 4), (3, 4, 5, 6, 7), (4,), (7,)], ids=str)
def test_any_set_of_levels_learns(levels: tuple[int, ...]) -> None:
    head = make_head(TASK, levels=levels)
    features = make_features(2, (96, 96), levels=levels)
    sum(head.loss(head(features), make_targets(TASK, 2, (96, 96)), torch.tensor([True, True])).values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any() for p in head.parameters())


def test_images_without_objects_teach_what_is_not_there_and_no_corners() -> None:
    head = make_head(TASK)
    terms = head.loss(head(make_features(1, SIZE)), objects([], []), LABELLED)
    assert {name for name, term in terms.items() if term > 0} == {"classification"}
    sum(terms.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


def test_illegible_text_is_not_learned() -> None:
    head = make_head(TASK)
    outputs = head(make_features(1, SIZE))
    targets = objects([turned((30, 30), (40, 12), 20), turned((100, 20), (30, 25), 200)], [0, 0], crowd=[True, False])
    with_crowd = head.loss(outputs, targets, LABELLED)
    alone = head.loss(outputs, {**targets, "valid": targets["valid"] & ~targets["crowd"]}, LABELLED)
    for term in ("corners", "boxes"):
        torch.testing.assert_close(with_crowd[term], alone[term])
    assert with_crowd["classification"] < alone["classification"], "predictions there must not count as mistakes"


ODD_QUADS = {
    "a point": torch.full((4, 2), 20.0),
    "a line": torch.tensor([[10.0, 20], [60, 20], [60, 20], [10, 20]]),
    "crossing sides": torch.tensor([[10.0, 10], [60, 50], [60, 10], [10, 50]]),
    "a dent": torch.tensor([[10.0, 10], [30, 20], [60, 10], [30, 50]]),
    "outside the image": turned((900, 900), (40, 12), 20),
    "partly outside": turned((0, 0), (40, 12), 20),
    "huge": turned((0, 0), (1e6, 1e6), 20),
}


@pytest.mark.parametrize("quad", ODD_QUADS.values(), ids=ODD_QUADS.keys())
def test_odd_quads_are_finite(quad: Tensor) -> None:
    head = make_head(TASK)
    outputs, targets = head(make_features(1, SIZE)), objects([quad], [1])
    terms = head.loss(outputs, targets, LABELLED)
    sum(terms.values()).backward()
    assert all(torch.isfinite(term) for term in terms.values())
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)
    metric = head.metric()
    metric.update({key: value.detach() for key, value in head.decode(outputs, SIZE).items()}, targets, LABELLED)
    assert 0 <= metric.compute()["AP"] <= 1


def clipped_iou(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """IoU of two convex clockwise polygons, and the share of `a` inside `b`, by Sutherland and Hodgman, one edge at a time."""
    part = [tuple(corner) for corner in a]
    for start, end in zip(b, np.roll(b, -1, axis=0), strict=True):
        side = [(end[0] - start[0]) * (y - start[1]) - (end[1] - start[1]) * (x - start[0]) for x, y in part]
        rest = []
        for index, (x, y) in enumerate(part):
            (x1, y1), d, e = part[(index + 1) % len(part)], side[index], side[(index + 1) % len(part)]
            if d >= 0:
                rest.append((x, y))
            if d * e < 0:
                rest.append((x + (x1 - x) * d / (d - e), y + (y1 - y) * d / (d - e)))
        part = rest
    both, of_a, of_b = (shoelace(np.array(polygon).reshape(-1, 2)) for polygon in (part, a, b))
    return both / (of_a + of_b - both), both / of_a


def shoelace(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())) / 2


class PolygonEvaluation(COCOeval):  # type: ignore[misc] # pycocotools has no types
    """COCO's evaluation with the oracle's overlaps."""

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802 - as pycocotools calls it
        there, given = self._gts[imgId, catId], self._dts[imgId, catId]
        given = [given[i] for i in np.argsort([-answer["score"] for answer in given], kind="mergesort")][:100]
        if not there or not given:
            return []
        pairs = [[clipped_iou(answer["quad"], truth["quad"]) for truth in there] for answer in given]
        return np.array([[pair[truth["iscrowd"]] for pair, truth in zip(row, there, strict=True)] for row in pairs])


def oracle_scores(truth: list[dict[str, Any]], given: list[dict[str, Any]], images: int, classes: int) -> list[float]:
    """COCO's AP, AP50 and AP75 for quads."""

    def table(rows: list[dict[str, Any]]) -> COCO:
        coco = COCO()
        annotations = [{"id": number, "area": 1.0, "iscrowd": 0, **row} for number, row in enumerate(rows, start=1)]
        coco.dataset = {
            "images": [{"id": image} for image in range(images)],
            "categories": [{"id": label} for label in range(classes)],
            "annotations": annotations,
        }
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = PolygonEvaluation(table(truth), table(given), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    scores: list[float] = evaluation.stats[:3].tolist()
    return scores


def random_convex(rng: np.random.Generator) -> Tensor:
    """Corners of a rotated rectangle, each moved a little: clockwise and convex."""
    quad = turned(
        (float(rng.uniform(20, 140)), float(rng.uniform(15, 50))), (30.0, float(rng.uniform(12, 25))), float(rng.uniform(0, 360))
    )
    return quad + torch.from_numpy(rng.uniform(-3, 3, (4, 2))).float()


@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_cocos_evaluation_with_independent_overlaps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    metric = QuadrilateralDetectionMetric(3)
    there_rows, given_rows = [], []
    for image in range(6):
        quads = [random_convex(rng) for _ in range(int(rng.integers(0, 8)))]
        classes, crowd = rng.integers(0, 3, len(quads)).tolist(), (rng.random(len(quads)) < 0.2).tolist()
        near = [quad + torch.from_numpy(rng.normal(0, 0.7, (4, 2))).float() for quad in quads]
        extra = [random_convex(rng) for _ in range(int(rng.integers(0, 12)))]
        labels = [*classes, *rng.integers(0, 3, len(extra)).tolist()]
        scores = rng.uniform(0.1, 1, len(labels)).round(1).tolist()
        targets, given = objects(quads, classes, crowd), found(objects([*near, *extra], labels), scores)
        labelled = image != 3
        metric.update(given, targets, torch.tensor([labelled]))
        if labelled:
            there = zip(quads, classes, crowd, strict=True)
            there_rows += [{"image_id": image, "category_id": c, "quad": q.numpy(), "iscrowd": int(g)} for q, c, g in there]
            rows = zip([*near, *extra], labels, scores, strict=True)
            given_rows += [{"image_id": image, "category_id": c, "quad": q.numpy(), "score": s} for q, c, s in rows]
    want = oracle_scores(there_rows, given_rows, 6, 3)
    assert 0.05 < want[0] < 0.95
    assert list(metric.compute().values()) == pytest.approx(want, abs=1e-6)


def score(truth: dict[str, Tensor], given: dict[str, Tensor]) -> dict[str, float]:
    metric = QuadrilateralDetectionMetric(3)
    metric.update(given, truth, LABELLED)
    return metric.compute()


def test_crossing_sides_and_dents_are_scored_by_the_enclosed_area() -> None:
    square = turned((50, 30), (40, 40), 0)
    for odd in (ODD_QUADS["crossing sides"], ODD_QUADS["a dent"], square):
        assert score(objects([odd], [1]), found(objects([odd], [1])))["AP"] == pytest.approx(1)
    bow_tie = objects([square[[0, 2, 1, 3]]], [1])
    assert score(objects([square], [1]), found(bow_tie))["AP75"] == 0
    dented = square.clone()
    dented[1] = torch.tensor([65.0, 15])  # cuts off 1/8 of the square
    assert score(objects([square], [1]), found(objects([dented], [1])))["AP"] == pytest.approx(0.8)


def test_illegible_text_is_neither_found_nor_missed() -> None:
    text, illegible = turned((40, 30), (40, 12), 10), turned((110, 30), (60, 30), -20)
    truth = objects([text, illegible], [0, 0], crowd=[False, True])
    for given in ([text], [text, illegible], [text, turned((110, 30), (10, 5), -20), turned((105, 30), (10, 5), 70)]):
        assert score(truth, found(objects(given, [0] * len(given))))["AP"] == pytest.approx(1)


def test_quads_are_drawn_as_outlines_whose_first_corner_is_marked() -> None:
    quad = turned((80, 32), (60, 30), 160)
    image = np.full((*SIZE, 3), 127, np.uint8)
    picture = make_head(TASK).draw(image, found(objects([quad], [2])), 0)
    scale = picture.shape[0] // SIZE[0]
    marked = []
    for corner, after in zip(quad, quad.roll(-1, 0), strict=True):
        x, y = (scale * (corner + after) / 2).round().int().tolist()
        assert color_of(2) in {tuple(pixel) for pixel in picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).tolist()}
        x, y = (scale * corner).round().int().tolist()
        marked.append({tuple(pixel) for pixel in picture[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).tolist()} == {color_of(2)})
    assert marked == [True, False, False, False]
    assert (picture[32 * scale, 80 * scale] == 127).all()
