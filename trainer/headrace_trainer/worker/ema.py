"""Averages the weights for evaluation and export (Polyak and Juditsky 1992, https://doi.org/10.1137/0330046)."""

import copy

import torch
from torch import Tensor

from headrace_trainer.network.build import Network


def decay_at(decay: float, iteration: int) -> float:
    """Decay in iteration `iteration`, counted from 1: smaller at the start, when old weights are worth little."""
    return min(decay, (1 + iteration) / (10 + iteration))


class AveragedNetwork:
    """An exponential moving average of a network's parameters and floating-point buffers, kept as a separate network.

    `network` is always in evaluation mode, so evaluating never touches the one in training. Batch normalisation's running
    statistics are averaged like the weights: the current ones would not fit weights that lag behind. Counts are copied.
    """

    def __init__(self, source: Network, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(source).eval().requires_grad_(False)
        pairs = list(zip(_tensors(self.network), _tensors(source), strict=True))
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Move the average towards the current state, after iteration `iteration` (counted from 1)."""
        averages, present = (list(tensors) for tensors in zip(*self._averaged, strict=True))
        torch._foreach_lerp_(averages, present, 1 - decay_at(self.decay, iteration))
        if self._copied:
            counts, present = (list(tensors) for tensors in zip(*self._copied, strict=True))
            torch._foreach_copy_(counts, present)


def _tensors(network: Network) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
