"""The grid of a level: cells of stride × stride pixels, their centres, and which of them boxes cover.

The map of level i is [ceil(H / 2^i), ceil(W / 2^i)]; the centre of the cell in row r and column c is (c + 0.5) × stride pixels from
the left and (r + 0.5) × stride pixels from the top. B images, N boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Level:
    """Size of one level's map: height × width cells of stride × stride pixels."""

    height: int
    width: int
    stride: int

    @property
    def cells(self) -> int:
        return self.height * self.width


def cell_centers(level: Level, device: torch.device) -> Tensor:
    """float32 [cells, 2]: x and y of the centres in pixels, row by row."""
    y = (torch.arange(level.height, device=device, dtype=torch.float32) + 0.5) * level.stride
    x = (torch.arange(level.width, device=device, dtype=torch.float32) + 0.5) * level.stride
    return torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), dim=-1).reshape(-1, 2)


def center_cells(boxes: Tensor, level: Level) -> tuple[Tensor, Tensor]:
    """Row and column of the cell that contains the centre of each box: float [..., 4] -> int64 [...] twice.

    If the centre is outside the map, the nearest cell on it.
    """
    column = ((boxes[..., 0] + boxes[..., 2]) / 2 / level.stride).floor().clamp(0, level.width - 1).long()
    row = ((boxes[..., 1] + boxes[..., 3]) / 2 / level.stride).floor().clamp(0, level.height - 1).long()
    return row, column


def answering_cells(boxes: Tensor, chosen: Tensor, levels: Sequence[Level]) -> Tensor:
    """Cells that may predict one of the chosen boxes: float [B, N, 4], bool [B, N] -> bool [B, cells of all levels].

    These are the cells whose centre is inside the box; if there is none on any level, the cells that contain the box's centre.
    """
    held = torch.stack([_holds_a_center(boxes, level) for level in levels]).any(dim=0)[..., None]
    painted = [torch.where(held, boxes, _around_center(boxes, level)) for level in levels]
    return torch.cat([covered_cells(of_level, chosen, level) for of_level, level in zip(painted, levels, strict=True)], dim=1)


def covered_cells(boxes: Tensor, chosen: Tensor, level: Level) -> Tensor:
    """Cells whose centre is inside one of the chosen boxes: float [B, N, 4], bool [B, N] -> bool [B, cells].

    Every box adds or subtracts one at its four corners, and cumulative sums along both axes fill them all: N + cells operations
    instead of N × cells, without a loop or device synchronisation.
    """
    batch, height, width = boxes.shape[0], level.height, level.width
    x0, y0, x1, y1 = _first_centers(boxes, level).unbind(-1)
    count = (chosen & (x1 > x0) & (y1 > y0)).to(torch.int32)
    corners = torch.cat([y * (width + 1) + x for y, x in ((y0, x0), (y1, x1), (y0, x1), (y1, x0))], dim=1)
    changes = torch.zeros(batch, (height + 1) * (width + 1), dtype=torch.int32, device=boxes.device)
    changes = changes.scatter_add(1, corners, torch.cat([count, count, -count, -count], dim=1))
    painted = changes.view(batch, height + 1, width + 1).cumsum(1).cumsum(2)
    return (painted[:, :height, :width] > 0).reshape(batch, level.cells)


def _first_centers(boxes: Tensor, level: Level) -> Tensor:
    """The first column (row) whose centre is not before the edge, 0 to width (height): float [..., 4] -> int64 [..., 4].

    Half-open boxes contain x0 <= centre < x1.
    """
    # Strides are powers of two, so the division is exact.
    x0, y0, x1, y1 = (boxes / level.stride - 0.5).ceil().unbind(-1)
    x0, x1 = (x.clamp(0, level.width) for x in (x0, x1))
    y0, y1 = (y.clamp(0, level.height) for y in (y0, y1))
    return torch.stack([x0, y0, x1, y1], dim=-1).long()


def _holds_a_center(boxes: Tensor, level: Level) -> Tensor:
    """Whether each box contains a cell's centre: float [..., 4] -> bool [...]."""
    first = _first_centers(boxes, level)
    return (first[..., 2:] > first[..., :2]).all(dim=-1)


def _around_center(boxes: Tensor, level: Level) -> Tensor:
    """The square of the cell that contains the centre of each box: [..., 4] -> [..., 4]."""
    row, column = center_cells(boxes, level)
    return torch.stack([column, row, column + 1, row + 1], dim=-1).to(boxes.dtype) * level.stride
