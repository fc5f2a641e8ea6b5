"""Which head learns from which layer, by which conversions: from the job and dataset.json alone, before an image is pulled."""

import re
from dataclasses import dataclass

from headrace_api import model
from headrace_api.dataset import Layer, Manifest
from headrace_api.names import Reason
from headrace_api.tasks import Task, conversion_path, reachable
from headrace_trainer.errors import FatalError


@dataclass(frozen=True)
class ResolvedHead:
    """A head, the layer it learns from, and the way from the layer's task to the head's."""

    spec: model.Head
    layer: Layer
    path: tuple[Task, ...]
    """From the layer's task to the head's, both included; one entry where nothing is converted."""


def resolve_heads(network: model.Network, manifest: Manifest) -> tuple[ResolvedHead, ...]:
    """The heads of `network`, or where it names none, one head with defaults for each layer that some head can learn.

    Raises FatalError(NO_SUCH_LAYER | NO_CONVERSION), whose message says what would be right.
    """
    layers = {layer.name: layer for layer in manifest.layers}
    heads = network.heads or _default_heads(manifest)
    return tuple(_resolve(head, layers) for head in heads)


def _resolve(head: model.Head, layers: dict[str, Layer]) -> ResolvedHead:
    layer = layers.get(head.annotations)
    if layer is None:
        names = ", ".join(f"'{name}' ({layer.task.words})" for name, layer in layers.items())
        raise FatalError(
            Reason.NO_SUCH_LAYER,
            f"head '{head.name}': the dataset has no layer '{head.annotations}'; its layers are: {names}",
        )
    path = conversion_path(layer.task, head.task)
    if path is None:
        usable = ", ".join(task.words for task in _learnable(layer.task)) or "none of the tasks there are"
        raise FatalError(
            Reason.NO_CONVERSION,
            f"head '{head.name}': layer '{layer.name}' holds {layer.task.words}, which cannot become {head.task.words}; "
            f"heads can use it for: {usable}",
        )
    return ResolvedHead(head, layer, path)


def _learnable(task: Task) -> tuple[Task, ...]:
    """The tasks that heads exist for and that annotations of `task` can serve, fewest conversions first."""
    learnable = [target for target in reachable(task) if target in model.HEAD_FIELDS.values()]
    return tuple(sorted(learnable, key=lambda target: len(conversion_path(task, target) or ())))


def _default_heads(manifest: Manifest) -> list[model.Head]:
    fields = {task: field for field, task in model.HEAD_FIELDS.items()}
    heads = [
        model.Head.model_validate({"name": _dns_label(layer.name), "annotations": layer.name, fields[tasks[0]]: {}})
        for layer in manifest.layers
        if (tasks := _learnable(layer.task))
    ]
    if not heads:
        held = ", ".join(f"'{layer.name}' ({layer.task.words})" for layer in manifest.layers)
        raise FatalError(Reason.NO_CONVERSION, f"no head can learn from any layer of the dataset: {held}")
    return heads


def _dns_label(name: str) -> str:
    """A head's name from a layer's: lower case, anything else than letters and digits becomes "-"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-") or "head"
