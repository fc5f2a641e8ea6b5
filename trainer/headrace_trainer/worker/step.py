"""One iteration, the only hot code. Nothing here waits for the device, where `Ledger` sums what the host needs to know.

Shape letters: B images, T loss terms, P parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor

from headrace_api.training import Training
from headrace_trainer.data.batches.augment import jitter_color
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.heads.base import Head, Outputs
from headrace_trainer.network.build import Network, head_of
from headrace_trainer.ops.pixels import normalise
from headrace_trainer.worker.device import generator_of
from headrace_trainer.worker.ema import AveragedNetwork
from headrace_trainer.worker.extreme_labels import NotFiniteError
from headrace_trainer.worker.loss_weights import LossWeights
from headrace_trainer.worker.optimizer import peak_learning_rate
from headrace_trainer.worker.schedule import learning_rate_factor
from headrace_trainer.worker.views import SecondLook, SecondLooks

_ADVICE: Final = "a lower learning rate, a longer warm-up or a smaller gradientClip may help"
_SEED_STRIDE: Final = 1_000_003
"""A large prime, so that iteration 1 of seed 1 does not share a random stream with iteration 2 of seed 0."""


class Step:
    """Trains `network` on one batch at a time.

    A loss or gradient that is not finite never reaches the weights: the fused optimizers read a flag on the device (`found_inf`,
    meant for gradient scaling) and skip the update if it is set. It stays set, so the weights are those of the last good iteration
    until the host reads the ledger and ends the job.
    """

    def __init__(
        self,
        *,
        network: Network,
        head_weights: Mapping[str, float],
        optimizer: torch.optim.Optimizer,
        averaged: AveragedNetwork | None,
        training: Training,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.averaged = averaged
        trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
        statistics = {name: buffer for name, buffer in network.named_buffers() if buffer.is_floating_point()}
        self.ledger = Ledger(list(trained), statistics, device)
        self.loss_weights = LossWeights(network, head_weights)
        self._training = training
        self._device = device
        self._dtype = dtype
        self._peak = peak_learning_rate(training.optimizer)
        self._generator = generator_of(device)
        self._second_looks = SecondLooks(network, training.augmentation, self._generator)
        self._parameters = list(trained.values())

    def learning_rate(self, iteration: int) -> float:
        """The learning rate in iteration `iteration`, counted from 1."""
        return self._peak * learning_rate_factor(self._training.schedule, iteration, self._training.max_iterations)

    def __call__(self, batch: Batch, iteration: int) -> None:
        """Run iteration `iteration`, counted from 1."""
        # Dropout, colour and everything else random depend only on the iteration, so that a resumed run draws the same numbers.
        self._generator.manual_seed(self._training.seed * _SEED_STRIDE + iteration)
        inputs = self.prepare(batch.images)
        outputs = self.forward(inputs)
        again = self._second_looks(inputs, self.forward)
        terms = {
            f"{name}/{term}": value
            for name in self.network.heads
            for term, value in self.losses_of(name, outputs[name], batch, inputs, again.get(name)).items()
        }
        total = self.loss_weights.total(terms)
        total.backward()
        self.ledger.count(batch.labelled)
        self.update(terms, total.detach(), iteration)

    def prepare(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] on the host -> float32 on the device, with colour jitter, normalised, channels last."""
        images = images.to(self._device, non_blocking=True).to(memory_format=torch.channels_last)
        if self._training.augmentation.color > 0:
            images = jitter_color(images.float() / 255, self._training.augmentation.color, self._generator)
        return normalise(images).contiguous(memory_format=torch.channels_last)

    def forward(self, inputs: Tensor, heads: Sequence[str] | None = None) -> dict[str, Outputs]:
        """Outputs by head, of all or of the named ones, in float32 whatever the network computes in."""
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            outputs: dict[str, Outputs] = self.network(inputs, heads)
        return {name: {key: value.float() for key, value in head.items()} for name, head in outputs.items()}

    def losses_of(
        self, name: str, outputs: Outputs, batch: Batch, inputs: Tensor, again: SecondLook | None = None
    ) -> dict[str, Tensor]:
        """The loss terms of head `name` by term, without its weight. `inputs` are the network's, float32 [B, 3, H, W]; `again` is
        the head's second look at them, if it uses one."""
        head, again = cast(Head, self.network.heads[name]), again or SecondLook()
        targets = {key: value.to(self._device, non_blocking=True) for key, value in batch.targets[name].items()}
        targets |= {"image": inputs} if head.uses_image else {}
        labelled = batch.labelled[name].to(self._device, non_blocking=True)
        return head.loss({**outputs, **again.outputs}, {**targets, **again.targets}, labelled)

    @torch.no_grad()
    def update(self, terms: Mapping[str, Tensor], total: Tensor, iteration: int) -> None:
        """Update weights, then averages, unless something is not finite; then clear the gradients."""
        gradients = [p.grad if p.grad is not None else p.new_zeros(()) for p in self._parameters]
        norms = torch.stack(torch._foreach_norm(gradients))
        norm = torch.linalg.vector_norm(norms)
        bad = self.ledger.add(terms, total, norms, norm, iteration)
        clip = self._training.gradient_clip
        if clip > 0:
            torch._foreach_mul_(gradients, (clip / (norm + 1e-6)).clamp(max=1.0))
        rate = self.learning_rate(iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.found_inf = bad  # type: ignore[attr-defined]
        self.optimizer.step()
        self.loss_weights.bound()
        self.optimizer.zero_grad()
        if self.averaged is not None:
            self.averaged.update(iteration)


@dataclass(frozen=True)
class Reading:
    """Means over the iterations since the last reading."""

    losses: dict[str, float]
    """By "<head>/<term>", unweighted, and "total", the weighted sum. A head's terms are averaged over the iterations in which it
    had a label (in the others they are a meaningless zero) and absent if there were none."""
    gradient_norm: float
    """Before clipping."""


class Ledger:
    """Sums losses on the device, and records which of them was the first that was not finite, and when.

    `statistics` are the network's buffers by name: a forward pass changes batch normalisation's running averages, which can
    overflow while the training loss, which does not use them, is still finite; and they never recover.
    """

    def __init__(self, parameter_names: list[str], statistics: Mapping[str, Tensor], device: torch.device) -> None:
        self._parameters = parameter_names
        self._statistics = statistics
        self._iteration = 0
        self._terms: list[str] = []
        self._device = device
        self._sums = torch.zeros(0, device=device)
        self._count = 0
        self._heads: list[str] = []
        self._labelled = torch.zeros(0, dtype=torch.int64, device=device)
        """For each head, the number of summed iterations in which it had a label."""
        self._first_bad = torch.zeros(0, dtype=torch.int64, device=device)

    def count(self, labelled: Mapping[str, Tensor]) -> None:
        """Note which heads have a label in this iteration: bool [B] by head, on the host or the device."""
        there = torch.stack([images.any() for images in labelled.values()]).to(self._device, non_blocking=True)
        if not self._heads:
            self._heads = list(labelled)
            self._labelled = torch.zeros_like(there, dtype=torch.int64)
        self._labelled += there

    def add(self, terms: Mapping[str, Tensor], total: Tensor, norms: Tensor, norm: Tensor, iteration: int) -> Tensor:
        """Add an iteration: T loss terms, their weighted sum, gradient norms [P] and the total norm.

        Returns float32 []: 1 if anything was not finite in this iteration or an earlier one, else 0.
        """
        values = torch.stack([*(value.detach().float() for value in terms.values()), total, norm])
        if not self._terms:
            self._terms = list(terms)
            self._sums = torch.zeros_like(values)
            # First iteration, from 1, in which each term or gradient was not finite; 0 if never.
            self._first_bad = torch.zeros(len(values) + len(norms), dtype=torch.int64, device=self._device)
        self._sums += values
        self._count += 1
        self._iteration = iteration
        bad = torch.cat([values, norms]).isfinite().logical_not_()
        self._first_bad = torch.where(bad & (self._first_bad == 0), iteration, self._first_bad)
        return self._first_bad.any().float()

    def read(self) -> Reading:
        """Means since the last reading. Waits for the device; raises like `check`."""
        self.check()
        *losses, total, norm = self._sums.tolist() or (0.0, 0.0)
        counts = dict(zip(self._heads, self._labelled.tolist(), strict=True))
        summed = [(name, loss, counts.get(name.split("/")[0], 0)) for name, loss in zip(self._terms, losses, strict=True)]
        means = {name: loss / count for name, loss, count in summed if count}
        iterations = max(1, self._count)
        self._sums.zero_()
        self._labelled.zero_()
        self._count = 0
        return Reading({**means, "total": total / iterations}, norm / iterations)

    def check(self) -> None:
        """Wait for the device; raise NotFiniteError if any loss or gradient since the start was not finite, or if the network's
        statistics are not finite now."""
        first_bad = self._first_bad.tolist()
        if any(first_bad):
            iteration = min(first for first in first_bad if first)
            raise NotFiniteError(self._complaint(first_bad, iteration), iteration, _ADVICE)
        if self._statistics:
            largest = torch.stack(torch._foreach_norm(list(self._statistics.values()), ord=float("inf")))
            bad = [name for name, finite in zip(self._statistics, largest.isfinite().tolist(), strict=True) if not finite]
            if bad:
                where = f"not finite at iteration {self._iteration} ({len(bad)} statistics, {bad[0]} first)"
                raise NotFiniteError(f"the network's running statistics are {where}", self._iteration, _ADVICE)

    def _complaint(self, first_bad: list[int], iteration: int) -> str:
        """Describes what was not finite in the first bad `iteration`: loss terms if any, else gradients."""
        terms = [name for name, first in zip(self._terms, first_bad, strict=False) if first == iteration]
        if terms:
            heads = ", ".join(f"'{term.split('/')[0]}' ({term.split('/')[1]})" for term in terms)
            return f"the loss of head {heads} is not finite at iteration {iteration}"
        gradients = first_bad[len(self._terms) + 2 :]
        names = [name for name, first in zip(self._parameters, gradients, strict=True) if first == iteration]
        if not names:
            return f"the sum of the losses is not finite at iteration {iteration}"
        heads = ", ".join(f"'{head}'" for head in dict.fromkeys(map(head_of, names)) if head)
        where = f"head {heads}" if heads else "the backbone"
        what = f"({len(names)} parameters, {names[0]} first)"
        return f"the gradient of {where} is not finite at iteration {iteration} {what}"
