"""Assigns objects to cells: task-aligned assignment (TOOD, Feng et al. 2021, https://arxiv.org/abs/2108.07755).

Each object goes to the cells that already predict it best, judged by class score and box together, so that high-scoring boxes are
also well placed. Differences: only cells near the object's centre are candidates (a window on each level, similar to ATSS,
https://arxiv.org/abs/1912.02424, and FCOS's centre sampling), so memory grows with objects × window rather than objects × cells;
and all shapes are static: no boolean indexing, no loop over images or objects, no device synchronisation.

B images, N objects, A cells of all levels (level by level, row by row), W candidates per object, K cells per object.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headrace_trainer.ops.grid import Level, center_cells

WINDOW = 2
"""Candidates are up to this many cells away from the centre cell, on every level."""
CELLS_PER_OBJECT = 13
"""At most this many cells are assigned to an object, as in TOOD."""
SCORE_POWER, IOU_POWER = 1.0, 6.0
"""alpha and beta of TOOD's alignment, score^alpha × IoU^beta."""


@dataclass(frozen=True)
class Assignment:
    """The cells assigned to each object. Entries that are not `taken` hold a valid index and a quality of 0."""

    cell: Tensor
    """int64 [B, N, K]: index into A."""
    taken: Tensor
    """bool [B, N, K]."""
    quality: Tensor
    """float32 [B, N, K], 0 to 1: the score that the cell should predict."""


def candidates(boxes: Tensor, levels: Sequence[Level]) -> tuple[Tensor, Tensor]:
    """Cells around the centre of each box whose own centre is inside the box: float [B, N, 4] -> cell, allowed.

    `cell` is int64 [B, N, W], an index into A; `allowed` is bool [B, N, W]. If a box contains no cell centre, the cells that
    contain the box's centre are allowed instead, so that objects smaller than a cell are still learnt.
    """
    steps = torch.arange(-WINDOW, WINDOW + 1, device=boxes.device)
    row_step, column_step = (s.reshape(-1) for s in torch.meshgrid(steps, steps, indexing="ij"))
    middle = (row_step == 0) & (column_step == 0)
    cells, inside = [], []
    offset = 0
    for level in levels:
        middle_row, middle_column = center_cells(boxes, level)
        row, column = middle_row[..., None] + row_step, middle_column[..., None] + column_step
        on_map = (column >= 0) & (column < level.width) & (row >= 0) & (row < level.height)
        center = (torch.stack([column, row], dim=-1) + 0.5) * level.stride
        within = ((center >= boxes[..., None, :2]) & (center < boxes[..., None, 2:])).all(dim=-1)
        cells.append(offset + row.clamp(0, level.height - 1) * level.width + column.clamp(0, level.width - 1))
        inside.append(on_map & within)
        offset += level.cells
    within = torch.cat(inside, dim=2)
    middle = middle.repeat(len(levels)) & ~within.any(dim=2, keepdim=True)
    return torch.cat(cells, dim=2), within | middle


def task_aligned(cell: Tensor, allowed: Tensor, score: Tensor, overlap: Tensor, cells: int) -> Assignment:
    """Give each object the cells that predict it best; a cell that several objects want goes to the one it overlaps most.

    `cell` and `allowed` [B, N, W] are the candidates; `score` (for the object's class) and `overlap` (IoU), float [B, N, W], are
    their current predictions; `cells` is A. In padding rows no candidate is allowed.
    """
    alignment = score.pow(SCORE_POWER) * overlap.pow(IOU_POWER)
    ranked = torch.where(allowed, alignment, -1.0)
    best = ranked.topk(min(CELLS_PER_OBJECT, ranked.shape[2]), dim=2)
    cell, alignment, overlap = (x.gather(2, best.indices) for x in (cell, alignment, overlap))
    taken = _one_object_a_cell(cell, best.values >= 0, overlap, cells)
    # The offset gives cells without any overlap yet equal shares, where the ratio would be 0 / 0.
    alignment = torch.where(taken, alignment + 1e-12, 0)
    share = alignment / alignment.amax(dim=2, keepdim=True).clamp(min=1e-12)
    quality = share * torch.where(taken, overlap, 0).amax(dim=2, keepdim=True)
    return Assignment(cell, taken, quality)


def _one_object_a_cell(cell: Tensor, wanted: Tensor, overlap: Tensor, cells: int) -> Tensor:
    """`wanted` [B, N, K] without claims on cells that overlap another object more; the first object wins a tie."""
    batch, objects, k = cell.shape
    index = cell.flatten(1)
    claim = torch.where(wanted, overlap, -1.0).flatten(1)
    highest = claim.new_full((batch, cells), -1.0).scatter_reduce(1, index, claim, "amax")
    winning = wanted.flatten(1) & (claim == highest.gather(1, index))
    number = torch.arange(objects, device=cell.device).repeat_interleave(k).expand(batch, -1)
    number = torch.where(winning, number, objects)
    first = number.new_full((batch, cells), objects).scatter_reduce(1, index, number, "amin")
    return (winning & (number == first.gather(1, index))).view(batch, objects, k)
