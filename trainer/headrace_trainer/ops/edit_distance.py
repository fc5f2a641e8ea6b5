"""Edit distance: the insertions, deletions and substitutions that turn one text into another (Levenshtein 1966), batched."""

import torch
from torch import Tensor


def edit_distance(found: Tensor, truth: Tensor) -> Tensor:
    """int64 [B, T] and [B, L], each text padded at its end with negative numbers -> int64 [B]. Never waits for the device."""
    step = torch.arange(found.shape[1] + 1, device=found.device)
    row = step.expand(len(found), -1)
    rows = [row]
    for number, character in enumerate(truth.unbind(1), start=1):
        replaced = row[:, :-1] + (found != character[:, None])
        left_out = row + 1
        row = torch.cat([torch.full_like(row[:, :1], number), torch.minimum(left_out[:, 1:], replaced)], dim=1)
        # Each insertion costs one more than the best entry before it: a running minimum once the slope is subtracted.
        row = (row - step).cummin(dim=1).values + step
        rows.append(row)
    table = torch.stack(rows, dim=1)
    image = torch.arange(len(found), device=found.device)
    return table[image, (truth >= 0).sum(dim=1), (found >= 0).sum(dim=1)]
