"""Averaged weights, which are what is evaluated and exported (Polyak and Juditsky 1992, https://doi.org/10.1137/0330046)."""

import copy

import torch

from headrace_trainer.network.build import Network


def decay_at(decay: float, iteration: int) -> float:
    """Decay in iteration `iteration`, counted from 1: shorter at the start, when old weights are worth little."""
    return min(decay, (1 + iteration) / (10 + iteration))


class AveragedNetwork:
    """An exponential moving average of a network's parameters, in a network of its own.

    `network` is always in evaluation mode, so that evaluating never touches the one that learns. Buffers (running statistics of
    batch normalisation, themselves averages) are copied.
    """

    def __init__(self, source: Network, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(source).eval().requires_grad_(False)
        self._pairs = list(zip(self.network.parameters(), source.parameters(), strict=True))
        self._buffers = list(zip(self.network.buffers(), source.buffers(), strict=True))

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Move the average towards the present weights, after iteration `iteration` (counted from 1)."""
        averages, weights = (list(tensors) for tensors in zip(*self._pairs, strict=True))
        torch._foreach_lerp_(averages, weights, 1 - decay_at(self.decay, iteration))
        if self._buffers:
            averages, values = (list(tensors) for tensors in zip(*self._buffers, strict=True))
            torch._foreach_copy_(averages, values)
