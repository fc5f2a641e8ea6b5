import torch

from headrace_trainer.ops.assignment import candidates
from headrace_trainer.ops.grid import Level, answering_cells, cell_centers, covered_cells


def test_centers_go_row_by_row_in_pixels() -> None:
    centers = cell_centers(Level(height=2, width=3, stride=8), torch.device("cpu"))
    assert centers.tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]


def test_covered_cells_are_those_whose_centre_is_in_a_chosen_box() -> None:
    level = Level(height=7, width=11, stride=8)
    generator = torch.Generator().manual_seed(0)
    # Integers include exact cell centres, and go beyond the image on every side.
    corners = torch.randint(-30, 120, (5, 6, 2, 2), generator=generator)
    boxes = corners.sort(dim=2).values.flatten(2).float()
    chosen = torch.rand(5, 6, generator=generator) > 0.5

    x, y = cell_centers(level, boxes.device).unbind(1)
    x0, y0, x1, y1 = boxes[..., None].unbind(2)
    want = ((x >= x0) & (x < x1) & (y >= y0) & (y < y1) & chosen[..., None]).any(dim=1)
    assert want.any()
    assert not want.all()
    assert torch.equal(covered_cells(boxes, chosen, level), want)


def test_empty_or_inverted_boxes_cover_nothing() -> None:
    boxes = torch.tensor([[[12.0, 12.0, 12.0, 12.0], [30.0, 0.0, 0.0, 30.0], [0.0, 30.0, 30.0, 0.0]]])
    assert not covered_cells(boxes, torch.tensor([[True, True, True]]), Level(4, 4, 8)).any()


def test_responsible_cells_are_covered_or_hold_the_centre_of_a_box_without_any() -> None:
    """These are the cells that assignment may choose, plus all others that the box covers."""
    levels = (Level(6, 11, 8), Level(3, 6, 16), Level(2, 3, 32))
    generator = torch.Generator().manual_seed(0)
    # Half pixels include exact cell centres; some boxes are smaller than a cell, some contain a centre on one level only.
    centers = torch.randint(-40, 240, (40, 9, 2), generator=generator) / 2
    sides = torch.randint(0, 40, (40, 9, 2), generator=generator) / 2
    boxes = torch.cat([centers - sides / 2, centers + sides / 2], dim=2)
    chosen = torch.rand(40, 9, generator=generator) > 0.5

    cell, allowed = candidates(boxes, levels)
    answers = torch.zeros(40, 9, sum(level.cells for level in levels), dtype=torch.int64)
    answers.scatter_add_(2, cell, (allowed & chosen[..., None]).long())
    covered = torch.cat([covered_cells(boxes, chosen, level) for level in levels], dim=1)
    want = covered | (answers.sum(dim=1) > 0)
    assert (want & ~covered).any()
    assert torch.equal(answering_cells(boxes, chosen, levels), want)
