"""Evaluates on the held-out split by each head's official metric, with pictures of the first predictions."""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import torch
from torch import Tensor

from headrace_api import runfolder
from headrace_api.trainingjob import MetricValue
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.heads.base import Head
from headrace_trainer.network.build import Network
from headrace_trainer.ops.pixels import normalise
from headrace_trainer.protocol import Evaluated, Evaluating
from headrace_trainer.worker.full_disk import naming_a_full_disk
from headrace_trainer.worker.history import PRIMARY
from headrace_trainer.worker.messages import Messages
from headrace_trainer.worker.pictures import PredictionGrid

_REPORT_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Scores:
    """The result of an evaluation."""

    by_head: dict[str, dict[str, float]]
    """Scores by name, by head; NaN if nothing was labelled."""
    primary: float
    """Their `primary_score`."""

    def values(self, iteration: int) -> list[MetricValue]:
        """In the contract's form, without NaN, which means that nothing was measured."""
        return [
            MetricValue(head=head, name=name, value=value, iteration=iteration)
            for head, scores in self.by_head.items()
            for name, value in scores.items()
            if math.isfinite(value)
        ]

    def curves(self) -> dict[str, float]:
        """Scores by "<head>/<metric>", and "primary", without NaN."""
        named = {f"{head}/{name}": value for head, scores in self.by_head.items() for name, value in scores.items()}
        return {name: value for name, value in {**named, PRIMARY: self.primary}.items() if math.isfinite(value)}


class Evaluation:
    """Evaluates networks on one held-out split of `images` images. Pictures go below `output`."""

    def __init__(self, images: int, device: torch.device, dtype: torch.dtype, output: Path, messages: Messages) -> None:
        self._images = images
        self._device = device
        self._dtype = dtype
        self._output = output
        self._messages = messages

    @torch.no_grad()
    def __call__(self, network: Network, batches: Iterable[Batch], iteration: int) -> Scores:
        """Evaluate `network` after `iteration` iterations on `batches`, one pass over the split; restores its training mode."""
        heads = {name: cast(Head, head) for name, head in network.heads.items()}
        metrics = {name: head.metric() for name, head in heads.items()}
        grid = PredictionGrid(heads)
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
                grid.add(batch, predictions)
                done += len(batch.images)
                if time.monotonic() - said >= _REPORT_SECONDS:
                    self._say_progress(iteration, done)
                    said = time.monotonic()
        finally:
            network.train(was_training)
        by_head = {name: metric.compute() for name, metric in metrics.items()}
        scores = Scores(by_head, primary_score(by_head, {name: head.primary for name, head in heads.items()}))
        self._messages.send(Evaluated(iteration=iteration, scores=scores.values(iteration), pictures=self._draw(grid, iteration)))
        return scores

    def _predict(self, network: Network, heads: Mapping[str, Head], inputs: Tensor) -> dict[str, Mapping[str, Tensor]]:
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            outputs = network(inputs)
        height, width = inputs.shape[-2:]
        return {
            name: head.decode({key: value.float() for key, value in outputs[name].items()}, (height, width))
            for name, head in heads.items()
        }

    def _draw(self, grid: PredictionGrid, iteration: int) -> list[Path]:
        if grid.empty:
            return []
        path = Path(runfolder.picture(iteration, "predictions"))
        with naming_a_full_disk("pictures of an evaluation"):
            grid.save(self._output / path)
        return [path]

    def _say_progress(self, iteration: int, done: int) -> None:
        self._messages.send(Evaluating(iteration=iteration, images_done=done, images=self._images))


def primary_score(by_head: Mapping[str, Mapping[str, float]], primaries: Mapping[str, str]) -> float:
    """The mean over heads of the score that `primaries` names, ignoring NaN; NaN if all are.

    Negative scores count as 0: R² has no lower bound, and one head's early -50 would dominate the mean.
    """
    known = [max(0.0, by_head[head][name]) for head, name in primaries.items() if not math.isnan(by_head[head][name])]
    return sum(known) / len(known) if known else math.nan
