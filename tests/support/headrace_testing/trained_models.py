"""Models with heads for any task, with random weights and quick to build: in memory and as `model/` folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from headrace_api import model
from headrace_api.heads import HEAD_FIELDS, Head
from headrace_api.tasks import Task
from headrace_api.training import ImageSize
from headrace_testing.head_cases import OPTIONS, make_labels
from headrace_trainer.heads.base import REGISTRY
from headrace_trainer.network.build import HeadPlan, Network, build_network
from headrace_trainer.predict.model import TrainedModel
from headrace_trainer.worker.evaluate import Scores
from headrace_trainer.worker.export import export_model

CHANNELS = 16


class TinyBackbone(nn.Module):
    """Levels 3 to 5 of CHANNELS channels each."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, CHANNELS, 8, 8)
        self.others = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, 2, 1) for _ in range(2))
        self.channels: Mapping[int, int] = dict.fromkeys((3, 4, 5), CHANNELS)

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        features = {3: self.first(images).relu()}
        for level, convolution in enumerate(self.others, start=4):
            features[level] = convolution(features[level - 1]).relu()
        return features


def head_name(task: Task) -> str:
    """The name of a task's head here."""
    return task.value


def plan_of(task: Task) -> HeadPlan:
    """A head with the options and labels of `head_cases`."""
    field = next(field for field, its_task in HEAD_FIELDS.items() if its_task is task)
    spec = Head.model_validate({"name": head_name(task), "annotations": "layer", field: OPTIONS[task].model_dump()})
    return HeadPlan(spec, make_labels())


def tiny_model(tasks: Sequence[Task], size: tuple[int, int] = (64, 96)) -> TrainedModel:
    """A model with random weights."""
    torch.manual_seed(0)
    backbone = TinyBackbone()
    heads = {head_name(task): REGISTRY[task](OPTIONS[task], backbone.channels, make_labels()) for task in tasks}
    network = Network(backbone, None, heads).eval()  # type: ignore[arg-type]
    return TrainedModel(network, size, {"version": 1}, torch.device("cpu"))


def write_model(folder: Path, tasks: Sequence[Task], size: tuple[int, int] = (64, 96)) -> Path:
    """A `model/` folder below `folder`, with random weights: ResNet-18 up to level 3 and the heads of `tasks`."""
    torch.manual_seed(0)
    plans = tuple(plan_of(task) for task in tasks)
    spec = model.Network(backbone=model.Backbone(name="resnet18", top_level=3))
    return folder / export_model(
        folder,
        network=build_network(spec, plans),
        spec=spec,
        heads=plans,
        image_size=ImageSize(height=size[0], width=size[1]),
        iteration=1,
        scores=Scores({}, {}),
        card="# A model of the tests\n",
    )
