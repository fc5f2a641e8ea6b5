"""The grid of a level: cells of stride × stride pixels, their centres, and which of them boxes cover.

A map of level i is [ceil(H / 2^i), ceil(W / 2^i)]; the centre of the cell in row r and column c lies (c + 0.5) × stride pixels from
the left and (r + 0.5) × stride pixels from the top. B images, N boxes.
"""

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


def covered_cells(boxes: Tensor, chosen: Tensor, level: Level) -> Tensor:
    """Cells whose centre lies in one of the chosen boxes: float [B, N, 4], bool [B, N] -> bool [B, cells].

    Every box adds and subtracts one at its four corners, and sums along both axes paint them all: N + cells operations instead of
    N × cells, with no loop and no wait for the device.
    """
    batch, height, width = boxes.shape[0], level.height, level.width
    # The first column (row) whose centre is not before the edge: half-open boxes hold x0 <= centre < x1.
    first = (boxes / level.stride - 0.5).ceil()
    x0, y0, x1, y1 = first.unbind(-1)
    x0, x1 = (x.clamp(0, width).long() for x in (x0, x1))
    y0, y1 = (y.clamp(0, height).long() for y in (y0, y1))
    count = (chosen & (x1 > x0) & (y1 > y0)).to(torch.int32)
    corners = torch.cat([y * (width + 1) + x for y, x in ((y0, x0), (y1, x1), (y0, x1), (y1, x0))], dim=1)
    changes = torch.zeros(batch, (height + 1) * (width + 1), dtype=torch.int32, device=boxes.device)
    changes = changes.scatter_add(1, corners, torch.cat([count, count, -count, -count], dim=1))
    painted = changes.view(batch, height + 1, width + 1).cumsum(1).cumsum(2)
    return (painted[:, :height, :width] > 0).reshape(batch, level.cells)
