"""Evaluates on the held-out split by each head's official metric, with pictures of some predictions."""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor

from headrace_api.run import PictureRecord
from headrace_api.trainingjob import MetricValue
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.heads.base import Head
from headrace_trainer.heads.scores import Score
from headrace_trainer.network.build import Network
from headrace_trainer.ops.pixels import normalise
from headrace_trainer.protocol import Evaluated, Evaluating
from headrace_trainer.worker.full_disk import naming_a_full_disk
from headrace_trainer.worker.history import PRIMARY
from headrace_trainer.worker.messages import Messages
from headrace_trainer.worker.pictures import Pictures

_REPORT_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Scores:
    """The result of an evaluation."""

    by_head: dict[str, dict[str, float]]
    """Scores by name, by head; NaN if nothing was labelled."""
    meanings: dict[str, tuple[Score, ...]]
    """What they mean, by head; the primary score first."""

    @property
    def primary(self) -> float:
        """The mean over heads of their primary scores, ignoring NaN; NaN if all are.

        Negative scores count as 0: R² has no lower bound, and one head's early -50 would dominate the mean.
        """
        values = [self.by_head[head][scores[0].name] for head, scores in self.meanings.items()]
        known = [max(0.0, value) for value in values if not math.isnan(value)]
        return sum(known) / len(known) if known else math.nan

    def values(self, iteration: int) -> list[MetricValue]:
        """In the contract's form, without NaN, which means that nothing was measured."""
        return [
            MetricValue(
                head=head,
                name=score.name,
                value=self.by_head[head][score.name],
                iteration=iteration,
                better=score.better,
                unit=score.unit,
                primary=place == 0,
            )
            for head, scores in self.meanings.items()
            for place, score in enumerate(scores)
            if math.isfinite(self.by_head[head][score.name])
        ]

    def curves(self) -> dict[str, float]:
        """Scores by "<head>/<metric>", and "primary", without NaN."""
        named = {f"{head}/{name}": value for head, scores in self.by_head.items() for name, value in scores.items()}
        return {name: value for name, value in {**named, PRIMARY: self.primary}.items() if math.isfinite(value)}


class Evaluation:
    """Evaluates networks on one held-out split of `images` images."""

    def __init__(self, images: int, device: torch.device, dtype: torch.dtype, pictures: Pictures, messages: Messages) -> None:
        self._images = images
        self._device = device
        self._dtype = dtype
        self._pictures = pictures
        self._messages = messages

    @torch.no_grad()
    def __call__(self, network: Network, batches: Iterable[Batch], iteration: int, *, draw: bool = True) -> Scores:
        """Evaluate `network` after `iteration` iterations on `batches`, one pass over the split; restores its training mode.

        `draw`: whether to draw pictures, too.
        """
        heads = {name: cast(Head, head) for name, head in network.heads.items()}
        metrics = {name: head.metric() for name, head in heads.items()}
        drawn: list[PictureRecord] = []
        was_training = network.training
        network.eval()
        try:
            self._say_progress(iteration, done=0)
            done, said = 0, time.monotonic()
            for batch in batches:
                inputs = normalise(batch.images.to(self._device)).contiguous(memory_format=torch.channels_last)
                predictions = self._predict(network, heads, inputs)
                for name, metric in metrics.items():
                    targets = {key: value.to(self._device) for key, value in batch.targets[name].items()}
                    targets |= {"image": inputs} if heads[name].uses_image else {}
                    metric.update(predictions[name], targets, batch.labelled[name].to(self._device))
                if draw:
                    with naming_a_full_disk("pictures of an evaluation"):
                        drawn += self._pictures.draw(iteration, heads, batch, predictions)
                done += len(batch.images)
                if time.monotonic() - said >= _REPORT_SECONDS:
                    self._say_progress(iteration, done)
                    said = time.monotonic()
        finally:
            network.train(was_training)
        scores = Scores(
            {name: metric.compute() for name, metric in metrics.items()}, {name: metric.scores for name, metric in metrics.items()}
        )
        pictures = self._pictures.in_order(drawn)
        self._messages.send(Evaluated(iteration=iteration, scores=scores.values(iteration), pictures=pictures))
        return scores

    def _predict(self, network: Network, heads: Mapping[str, Head], inputs: Tensor) -> dict[str, Mapping[str, Tensor]]:
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            outputs = network(inputs)
        height, width = inputs.shape[-2:]
        return {
            name: head.decode({key: value.float() for key, value in outputs[name].items()}, (height, width))
            for name, head in heads.items()
        }

    def _say_progress(self, iteration: int, done: int) -> None:
        self._messages.send(Evaluating(iteration=iteration, images_done=done, images=self._images))
