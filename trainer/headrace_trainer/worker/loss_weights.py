"""Combines the losses of several heads into one, by fixed weights or by weights that are learnt too.

`uncertainty` (Kendall et al. 2018, https://arxiv.org/abs/1705.07115): a head's loss L counts as

    weight · (exp(-s) L + s / 2)

where s, a log variance, is a parameter of the head (`Head.log_variance`, initially 0), learnt, averaged and saved like all others.
This is the paper's equation for classification, used for every head. s tends to log(2 L), which gives every head the same share of
the gradient, whatever the unit of its loss. In a batch where nothing counts for the head (no image is labelled, or none of its
pixels or values are known), its loss is exactly 0; then the whole bracket is 0, including s / 2, and so is the gradient of s.
"""

import math
from collections.abc import Mapping
from typing import Final, cast

import torch
from torch import Tensor

from headrace_trainer.heads.base import Head
from headrace_trainer.network.build import Network

LARGEST: Final = 100.0
"""A learnt factor exp(-s) stays between 1 / LARGEST and LARGEST: when a head overfits, its loss tends to 0, and its factor would
tend to infinity."""


class LossWeights:
    """Adds up the losses of the heads of `network`, each times its weight in `given` and its learnt factor, if any."""

    def __init__(self, network: Network, given: Mapping[str, float]) -> None:
        self._given = given
        heads = {name: cast(Head, head) for name, head in network.heads.items()}
        self._learnt = {name: head.log_variance for name, head in heads.items() if head.log_variance is not None}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The sum of `terms`, scalars by "<head>/<term>". Never waits for the device."""
        by_head: dict[str, list[Tensor]] = {}
        for name, value in terms.items():
            by_head.setdefault(name.split("/")[0], []).append(value)
        losses = {head: torch.stack(values).sum() for head, values in by_head.items()}
        return torch.stack([self._given[head] * self._weighted(head, loss) for head, loss in losses.items()]).sum()

    def _weighted(self, head: str, loss: Tensor) -> Tensor:
        if (s := self._learnt.get(head)) is None:
            return loss
        return (-s).exp() * loss + torch.where(loss.detach() == 0, 0, s / 2)

    @torch.no_grad()
    def bound(self) -> None:
        """Clamp the factors to their bounds after an optimizer step."""
        for s in self._learnt.values():
            s.clamp_(-math.log(LARGEST), math.log(LARGEST))

    @torch.no_grad()
    def read(self) -> dict[str, float]:
        """The learnt factors by head, without the fixed weights. Waits for the device."""
        if not self._learnt:
            return {}
        factors = (-torch.stack(list(self._learnt.values()))).exp()
        return dict(zip(self._learnt, factors.tolist(), strict=True))
