import torch

from headrace_trainer.ops.assignment import CELLS_PER_OBJECT, WINDOW, candidates, task_aligned
from headrace_trainer.ops.grid import Level, cell_centers

LEVELS = (Level(12, 16, 8), Level(6, 8, 16), Level(3, 4, 32))
CELLS = sum(level.cells for level in LEVELS)


def allowed_cells(box: list[float]) -> set[int]:
    cell, allowed = candidates(torch.tensor([[box]]), LEVELS)
    return set(cell[0, 0][allowed[0, 0]].tolist())


def test_candidates_are_the_cells_near_the_middle_whose_centre_is_in_the_box() -> None:
    box = [20.0, 10.0, 90.0, 70.0]
    centre_x, centre_y = 55.0, 40.0
    want, offset = set(), 0
    for level in LEVELS:
        for index, (x, y) in enumerate(cell_centers(level, torch.device("cpu")).tolist()):
            near = all(abs(v // level.stride - c // level.stride) <= WINDOW for v, c in ((x, centre_x), (y, centre_y)))
            if near and box[0] <= x < box[2] and box[1] <= y < box[3]:
                want.add(offset + index)
        offset += level.cells
    assert allowed_cells(box) == want


def test_an_object_smaller_than_a_cell_gets_the_cells_that_hold_its_centre() -> None:
    # (33, 17) to (35, 19) contains no cell's centre.
    assert allowed_cells([33.0, 17.0, 35.0, 19.0]) == {2 * 16 + 4, 192 + 1 * 8 + 2, 192 + 48 + 0 * 4 + 1}


def test_boxes_without_area_or_outside_the_image_have_candidates_on_the_map() -> None:
    for box in ([50.0, 50.0, 50.0, 50.0], [-90.0, -90.0, -50.0, -50.0], [500.0, 20.0, 900.0, 80.0], [0.0, 0.0, 1e9, 1e9]):
        cells = allowed_cells(box)
        assert cells
        assert all(0 <= cell < CELLS for cell in cells)


def test_memory_grows_with_objects_and_not_with_the_image() -> None:
    small, _ = candidates(torch.zeros(1, 100, 4), [Level(4, 4, 8)])
    large, _ = candidates(torch.zeros(1, 100, 4), [Level(128, 128, 4)])
    assert small.shape == large.shape == (1, 100, (2 * WINDOW + 1) ** 2)


def test_best_aligned_cells_are_taken_and_scored_by_overlap() -> None:
    overlap = torch.linspace(0.05, 1.0, 20)[None, None]
    cell = torch.arange(20)[None, None]
    allowed = torch.ones_like(cell, dtype=torch.bool)
    allowed[..., 19] = False  # the best one is not a candidate
    given = task_aligned(cell, allowed, torch.full_like(overlap, 0.5), overlap * 0.9, cells=20)
    assert given.cell.shape[2] == CELLS_PER_OBJECT
    assert given.taken.all()
    assert sorted(given.cell.flatten().tolist()) == list(range(19 - CELLS_PER_OBJECT, 19))
    best = given.quality.flatten().argmax()
    assert given.cell.flatten()[best] == 18
    torch.testing.assert_close(given.quality.max(), overlap[0, 0, 18] * 0.9)
    assert given.quality.min() > 0


def test_a_cell_that_two_objects_want_goes_to_the_one_it_overlaps_more() -> None:
    cell = torch.tensor([[[0, 1], [1, 2]]])
    overlap = torch.tensor([[[0.5, 0.6], [0.7, 0.4]]])
    given = task_aligned(cell, torch.ones_like(cell, dtype=torch.bool), torch.ones_like(overlap), overlap, cells=3)
    owners = {(n, given.cell[0, n, k].item()) for n in range(2) for k in range(2) if given.taken[0, n, k]}
    assert owners == {(0, 0), (1, 1), (1, 2)}
    assert not given.quality[~given.taken].any()


def test_the_first_of_two_equal_objects_keeps_its_cells() -> None:
    cell = torch.tensor([[[3, 4], [3, 4]]])
    overlap = torch.tensor([[[0.5, 0.25], [0.5, 0.25]]])
    given = task_aligned(cell, torch.ones_like(cell, dtype=torch.bool), torch.ones_like(overlap), overlap, cells=5)
    assert given.taken.tolist() == [[[True, True], [False, False]]]


def test_padding_takes_no_cell() -> None:
    cell = torch.tensor([[[0, 1], [0, 1]]])
    allowed = torch.tensor([[[True, True], [False, False]]])
    given = task_aligned(cell, allowed, torch.ones(1, 2, 2), torch.tensor([[[0.1, 0.2], [0.9, 0.9]]]), cells=2)
    assert given.taken.tolist() == [[[True, True], [False, False]]]
    assert not given.quality[0, 1].any()


def test_an_object_that_nothing_overlaps_yet_still_takes_its_cells() -> None:
    cell = torch.tensor([[[0, 1]]])
    given = task_aligned(cell, torch.tensor([[[True, True]]]), torch.full((1, 1, 2), 0.01), torch.zeros(1, 1, 2), cells=2)
    assert given.taken.all()
    assert (given.quality == 0).all()
