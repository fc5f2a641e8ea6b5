"""How the losses of several heads become one: by weights that are given, or that are learnt as well.

`uncertainty` (Kendall et al. 2018, https://arxiv.org/abs/1705.07115): a head's loss L counts as

    weight · (exp(-s) L + s / 2)

with s, the logarithm of a variance, a parameter of the head (`Head.log_variance`, 0 at first) that is learnt, averaged and saved as
all others are. That is the paper's equation for classification, for every head. Left alone, s goes to log(2 L): the share of every
head's gradient is then the same, whatever the unit of its loss. In a batch of which nothing counts for the head, no image being
labelled or no pixel or number of those known, its loss is exactly 0; then the whole bracket is 0, s / 2 included, and so is the
gradient of s.
"""

import math
from collections.abc import Mapping
from typing import Final, cast

import torch
from torch import Tensor

from headrace_trainer.heads.base import Head
from headrace_trainer.network.build import Network

LARGEST: Final = 100.0
"""A learnt factor exp(-s) stays between 1 / LARGEST and this: the loss of what is learnt by heart goes to 0, and its factor would
go to infinity."""


class LossWeights:
    """Adds up the losses of the heads of `network`, each times its weight in `given` and, where it is learnt, its own factor."""

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
        """Put the factors back into their bounds, after the optimizer has moved them."""
        for s in self._learnt.values():
            s.clamp_(-math.log(LARGEST), math.log(LARGEST))

    @torch.no_grad()
    def read(self) -> dict[str, float]:
        """The learnt factors by head, without the weights that were given. Waits for the device."""
        if not self._learnt:
            return {}
        factors = (-torch.stack(list(self._learnt.values()))).exp()
        return dict(zip(self._learnt, factors.tolist(), strict=True))
