"""Outputs of a dense detection head that gets one image right, for tests of code that builds on such outputs."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from headrace_trainer.ops.grid import Level, cell_centers

LEVELS = (3, 4, 5)


def dense_answers(
    size: tuple[int, int],
    boxes: Tensor,
    labels: Sequence[int],
    classes: int = 3,
    score: float = 0.999,
    more: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Outputs for an image of `size` (height, width) with objects in `boxes` [N, 4] of the classes `labels` [N].

    A cell whose centre is in a box predicts that object (the one with the nearest centre, if there are several): its box, its class
    with `score`, and its rows of `more`, each [N, D]. Other cells predict nothing.
    """
    outputs = {}
    for number in LEVELS:
        level = Level(-(-size[0] // 2**number), -(-size[1] // 2**number), 2**number)
        centers = cell_centers(level, boxes.device)
        inside = ((centers[:, None] >= boxes[:, :2]) & (centers[:, None] < boxes[:, 2:])).all(dim=2)
        far = (centers[:, None] - (boxes[:, :2] + boxes[:, 2:]) / 2).square().sum(dim=2)
        owner = torch.where(inside, far, torch.inf).argmin(dim=1) if len(boxes) else torch.zeros(level.cells, dtype=torch.long)
        owned = inside.any(dim=1)
        said = {"logits": torch.full((level.cells, classes), -9.0), "distances": torch.ones(level.cells, 4)}
        said["logits"][owned, torch.tensor(labels)[owner[owned]]] = torch.tensor(score).logit()
        sides = torch.cat([centers - boxes[owner, :2], boxes[owner, 2:] - centers], dim=1)
        said["distances"][owned] = sides[owned]
        said |= {name: rows[owner] * owned[:, None] for name, rows in (more or {}).items()}
        for name, rows in said.items():
            outputs[f"{name}{number}"] = rows.T.reshape(1, -1, level.height, level.width).clone().requires_grad_()
    return outputs


def in_frame(places: Tensor, boxes: Tensor) -> Tensor:
    """Pixels [N, P, 2] -> positions relative to boxes [N, 4], -1 to 1 inside."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    return (2 * places - low - high) / (high - low)
