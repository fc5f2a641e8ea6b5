"""A network small enough to train a step in milliseconds, batches for it, and everything else that a step needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from headrace_api import model
from headrace_api.heads import Head, MulticlassClassification, MultilabelClassification
from headrace_api.training import Training
from headrace_testing.kept_messages import KeptMessages
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.build import HeadPlan, Network, build_network
from headrace_trainer.worker.ema import AveragedNetwork
from headrace_trainer.worker.evaluate import Evaluation
from headrace_trainer.worker.optimizer import build_optimizer
from headrace_trainer.worker.pictures import Pictures
from headrace_trainer.worker.showcase import Showcase
from headrace_trainer.worker.step import Step

LABELS = LabelSpace(classes=("red", "green", "blue"), things=(True, True, True))
HEADS = (
    HeadPlan(Head(name="tags", annotations="a", multilabel_classification=MultilabelClassification()), LABELS),
    HeadPlan(Head(name="kind", annotations="b", multiclass_classification=MulticlassClassification()), LABELS),
)
CPU = torch.device("cpu")
LossWeights = Literal["fixed", "uncertainty"]


def small_network(seed: int = 0, heads: tuple[HeadPlan, ...] = HEADS, loss_weights: LossWeights = "fixed") -> Network:
    """The first two levels of a ResNet-18 with a multilabel head `tags` and a multiclass head `kind`."""
    torch.manual_seed(seed)
    spec = model.Network(backbone=model.Backbone(name="resnet18", top_level=2), loss_weights=loss_weights)
    return build_network(spec, heads).to(memory_format=torch.channels_last)


def random_batch(seed: int, labelled: dict[str, list[bool]] | None = None) -> Batch:
    """Four images of 32 x 32 noise with random labels; `labelled` by head, by default all."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (4, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 2, (4, 3), generator=generator).float()
    label = torch.randint(0, 3, (4,), generator=generator)
    masks: dict[str, Tensor] = {name: torch.tensor([True] * 4) for name in ("tags", "kind")}
    masks |= {name: torch.tensor(mask) for name, mask in (labelled or {}).items()}
    return Batch(images, {"tags": {"labels": labels}, "kind": {"label": label}}, masks, [f"{i}.jpg" for i in range(4)])


def small_evaluation(output: Path, messages: KeptMessages, *heads: str) -> Evaluation:
    """Evaluates `heads`, by default those of `small_network`, and draws two of the images of `random_batch` for each."""
    images = dict.fromkeys(heads or ("tags", "kind"), ("2.jpg", "0.jpg"))
    return Evaluation(8, CPU, torch.float32, Pictures(Showcase(images, frozenset(images)), output), messages)


@dataclass
class SmallTraining:
    """A network and everything that trains it."""

    network: Network
    averaged: AveragedNetwork | None
    optimizer: torch.optim.Optimizer
    step: Step

    def tensors(self) -> dict[str, Tensor]:
        """Copies of every weight and buffer, including the averaged ones."""
        averaged = self.averaged.network.state_dict() if self.averaged else {}
        tensors = {**self.network.state_dict(), **{f"averaged/{name}": tensor for name, tensor in averaged.items()}}
        return {name: tensor.clone() for name, tensor in tensors.items()}


def small_training(
    seed: int = 0,
    head_weights: dict[str, float] | None = None,
    dtype: torch.dtype = torch.float32,
    loss_weights: LossWeights = "fixed",
    heads: tuple[HeadPlan, ...] = HEADS,
    network: Network | None = None,
    **training: Any,
) -> SmallTraining:
    """`training` in snake_case, over: no schedule, averaging with a decay of 0.9. `network` has `heads`; default: a small one."""
    given = {"schedule": {"warmup_iterations": 0, "decay": "constant"}, "ema_decay": 0.9, "seed": seed} | training
    settings = Training.model_validate(given)
    network = small_network(seed, heads, loss_weights) if network is None else network
    averaged = AveragedNetwork(network, settings.ema_decay) if settings.ema_decay > 0 else None
    optimizer = build_optimizer(network, settings.optimizer)
    weights = {plan.spec.name: 1.0 for plan in heads} | (head_weights or {})
    step = Step(
        network=network, head_weights=weights, optimizer=optimizer, averaged=averaged, training=settings, device=CPU, dtype=dtype
    )
    return SmallTraining(network, averaged, optimizer, step)
