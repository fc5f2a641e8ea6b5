import math

import numpy as np
import pytest
import torch
from torch import Tensor

from headrace_trainer.ops import quad_overlap as quads
from headrace_trainer.ops.quad_overlap import bounds, intersection_and_areas, iou, likeness, non_maximum_suppression

FINE = 500
"""Dots along each side of the image on which areas are counted."""
SIDE = 60.0


def square(left: float, top: float, side: float) -> Tensor:
    return torch.tensor([[left, top], [left + side, top], [left + side, top + side], [left, top + side]], dtype=torch.float32)


def turned(center: tuple[float, float], sides: tuple[float, float], degrees: float) -> Tensor:
    corners = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * torch.tensor(sides)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return corners @ torch.tensor([[cos, sin], [-sin, cos]]) + torch.tensor(center)


def dots_inside(quad: Tensor) -> np.ndarray:
    """bool [FINE, FINE]: dots from which a ray to the right crosses an odd number of sides."""
    y, x = np.meshgrid(*[(np.arange(FINE) + 0.5) * SIDE / FINE] * 2, indexing="ij")
    inside = np.zeros((FINE, FINE), bool)
    for (x0, y0), (x1, y1) in zip(quad.tolist(), quad.roll(-1, 0).tolist(), strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
        inside ^= ((y0 <= y) != (y1 <= y)) & (x < crossing)
    return inside


def any_quads(count: int, seed: int) -> Tensor:
    """Four corners anywhere in the image: about a third are convex, a third dented, a third self-crossing."""
    return torch.rand(count, 4, 2, generator=torch.Generator().manual_seed(seed)) * SIDE


def test_areas_of_any_four_corners_equal_a_count_of_dots() -> None:
    a, b = any_quads(40, 0), any_quads(40, 1)
    found = torch.stack(intersection_and_areas(a, b), dim=1)
    dot = (SIDE / FINE) ** 2
    for pair, areas in zip(zip(a, b, strict=True), found.tolist(), strict=True):
        in_a, in_b = map(dots_inside, pair)
        assert areas == pytest.approx([dot * (in_a & in_b).sum(), dot * in_a.sum(), dot * in_b.sum()], abs=2.5)


CASES = {
    "equal": (square(0, 0, 4), square(0, 0, 4), 1),
    "half beside": (square(0, 0, 4), square(2, 0, 4), 1 / 3),
    "one inside the other": (square(0, 0, 4), square(1, 1, 2), 1 / 4),
    "a shared side": (square(0, 0, 4), square(4, 0, 4), 0),
    "apart": (square(0, 0, 4), square(9, 9, 4), 0),
    "turned by 45 degrees": (square(-1, -1, 2), turned((0, 0), (2, 2), 45), math.sqrt(2) / 2),
    "turned by a right angle": (turned((0, 0), (2, 2), 30), turned((0, 0), (2, 2), 120), 1),
    "bow tie": (square(0, 0, 4), square(0, 0, 4)[[0, 2, 1, 3]], 1 / 2),
    "without area": (square(0, 0, 4), square(1, 1, 0), 0),
    "both without area": (square(1, 1, 0), square(1, 1, 0), 0),
}


@pytest.mark.parametrize(("a", "b", "want"), CASES.values(), ids=CASES.keys())
def test_known_overlaps_whichever_corner_is_first_and_whichever_way_round(a: Tensor, b: Tensor, want: float) -> None:
    for other in (b, b.roll(1, 0), b.roll(2, 0), b.flip(0)):
        assert iou(a[None], other[None]).item() == pytest.approx(want, abs=1e-5)
        assert iou(other[None], a[None]).item() == pytest.approx(want, abs=1e-5)


def test_single_precision_is_enough_far_from_the_origin() -> None:
    """Tilted text of 30 × 8 pixels at the far end of a large image; also where sides nearly coincide."""
    a = turned((7900, 7700), (30, 8), 20)[None]
    for shift in (0, 1e-3, 0.5, 3):
        assert iou(a, a + shift).item() == pytest.approx(iou(a.double(), a.double() + shift).item(), abs=2e-3)


def test_no_pairs() -> None:
    assert iou(torch.zeros(0, 4, 2), torch.zeros(0, 4, 2)).shape == (0,)


def test_likeness_is_iou_and_in_crowds_the_share_of_the_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quads, "_PAIRS_AT_ONCE", 5)
    answers, objects = any_quads(4, 2), any_quads(3, 3)
    found = likeness(answers, objects, torch.tensor([False, True, False]))
    for answer, row in zip(answers, found, strict=True):
        both, of_answer, _ = intersection_and_areas(answer.expand(3, 4, 2), objects)
        want = iou(answer.expand(3, 4, 2), objects)
        want[1] = both[1] / of_answer[1]
        torch.testing.assert_close(row, want)
    inside = likeness(square(2, 2, 2)[None], torch.stack([square(0, 0, 8)] * 2), torch.tensor([True, False]))
    torch.testing.assert_close(inside, torch.tensor([[1.0, 1 / 16]]))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)], ids=str)
def test_likeness_of_nothing(shape: tuple[int, int]) -> None:
    assert likeness(any_quads(shape[0], 0), any_quads(shape[1], 1), torch.zeros(shape[1], dtype=torch.bool)).shape == shape


def test_bounds_are_tight() -> None:
    assert bounds(torch.tensor([[5.0, 1], [9, 4], [3, 8], [0, 2]])).tolist() == [0, 1, 9, 8]


def test_neighbouring_tilted_lines_stay_although_their_bounds_coincide() -> None:
    a, b = turned((50, 50), (80, 10), 45), turned((53, 47), (80, 10), 45)
    apart = torch.stack([a, turned((60, 40), (80, 10), 45)])
    both = (torch.minimum(*bounds(apart)[:, 2:]) - torch.maximum(*bounds(apart)[:, :2])).prod()
    assert both > 0.6 * (bounds(a)[2:] - bounds(a)[:2]).prod()
    assert non_maximum_suppression(apart, torch.zeros(2), 0.4).tolist() == [0, 1]
    assert non_maximum_suppression(torch.stack([a, b]), torch.zeros(2), 0.4).tolist() == [0]
    assert non_maximum_suppression(torch.stack([a, b]), torch.tensor([0, 1]), 0.4).tolist() == [0, 1]


def test_suppression_is_greedy() -> None:
    generator = torch.Generator().manual_seed(0)
    quads = torch.stack([turned((30, 30), (30, 14), d) for d in range(0, 180, 4)]) + 8 * torch.rand(45, 1, 2, generator=generator)
    labels = torch.arange(45) % 2
    kept: list[int] = []
    for index in range(45):
        better = [other for other in kept if labels[other] == labels[index]]
        if not any(iou(quads[[index]], quads[[other]]) > 0.5 for other in better):
            kept.append(index)
    assert 4 < len(kept) < 40
    assert non_maximum_suppression(quads, labels, 0.5).tolist() == kept


def test_nothing_to_suppress() -> None:
    assert non_maximum_suppression(torch.zeros(0, 4, 2), torch.zeros(0), 0.5).shape == (0,)
