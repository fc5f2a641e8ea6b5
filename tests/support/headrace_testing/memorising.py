"""Trains one head on a few images in memory and scores it on the same images: a head that cannot memorise them fails."""

from collections.abc import Mapping

import torch
from torch import Tensor

from headrace_api import model
from headrace_api.heads import Head as HeadSpec
from headrace_api.heads import HeadOptions
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Head
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.build import HeadPlan, build_network


class Memoriser:
    """A fresh, seeded network: ResNet-18 up to `top_level`, a pyramid of 64 channels from `bottom_level` on, the head of `task`."""

    def __init__(self, task: Task, options: HeadOptions, labels: LabelSpace, bottom_level: int = 2, top_level: int = 4) -> None:
        torch.manual_seed(0)
        neck = model.Neck(fpn=model.Fpn(channels=64), bottom_level=bottom_level, top_level=top_level)
        backbone = model.Backbone(name="resnet18", top_level=top_level)
        head = HeadSpec.model_validate({"name": "head", "annotations": "layer", task.name.lower(): options})
        self.network = build_network(model.Network(backbone=backbone, neck=neck), [HeadPlan(head, labels)])

    @property
    def head(self) -> Head:
        """The head alone."""
        head = self.network.heads["head"]
        assert isinstance(head, Head)
        return head

    def train(
        self, images: Tensor, targets: Mapping[str, Tensor], iterations: int, peak: float, labelled: Tensor | None = None
    ) -> None:
        """AdamW on all images at once; the learning rate rises to `peak` in a tenth of the iterations and falls to zero.

        `labelled` is bool [B]; by default all are.
        """
        self.network.train()
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=peak, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=iterations, pct_start=0.1)
        labelled = torch.ones(len(images), dtype=torch.bool) if labelled is None else labelled
        for _ in range(iterations):
            terms = self.head.loss(self.network(images)["head"], targets, labelled)
            torch.stack(list(terms.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()

    @torch.no_grad()
    def scores(self, images: Tensor, targets: Mapping[str, Tensor], labelled: Tensor | None = None) -> dict[str, float]:
        """The head's metric, in evaluation mode, on the `labelled` images (bool [B]; by default all)."""
        self.network.eval()
        metric = self.head.metric()
        predictions = self.head.decode(self.network(images)["head"], (images.shape[2], images.shape[3]))
        metric.update(predictions, targets, torch.ones(len(images), dtype=torch.bool) if labelled is None else labelled)
        return metric.compute()
