"""Decides which head learns from which layer, by which conversions: from the job and dataset.json, before any image is pulled."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from headrace_api import model
from headrace_api.dataset import Layer, Manifest
from headrace_api.errors import FatalError
from headrace_api.heads import HEAD_FIELDS, Head
from headrace_api.names import Reason
from headrace_api.tasks import Task, conversion_path, reachable

_LONGEST_NAME: Final = 63
"""Characters of a head's name, as in every DNS label."""


@dataclass(frozen=True)
class ResolvedHead:
    """A head, the layer it learns from, and the conversions from the layer's task to the head's."""

    spec: Head
    layer: Layer | None
    """None for a self-supervised head that names no layer."""
    path: tuple[Task, ...]
    """From the layer's task to the head's, both included; one entry if nothing is converted."""

    @property
    def described(self) -> str:
        """A sentence for the log: what the head learns from, and how."""
        if self.layer is None:
            return f"head '{self.spec.name}' ({self.spec.task.words}) learns from every image"
        way = " → ".join(task.words for task in self.path)
        return f"head '{self.spec.name}' learns from layer '{self.layer.name}': {way}"


def resolve_heads(network: model.Network, manifest: Manifest) -> tuple[ResolvedHead, ...]:
    """The heads of `network`, or one head with defaults for each layer if it names none.

    Raises FatalError(NO_SUCH_LAYER | NO_CONVERSION | BAD_MODEL), whose message says what to do.
    """
    layers = {layer.name: layer for layer in manifest.layers}
    heads = network.heads or _default_heads(manifest)
    return tuple(_resolve(head, layers) for head in heads)


def _resolve(head: Head, layers: dict[str, Layer]) -> ResolvedHead:
    if head.annotations is None:
        return ResolvedHead(head, None, (head.task,))
    layer = layers.get(head.annotations)
    if layer is None:
        names = ", ".join(f"'{name}' ({layer.task.words})" for name, layer in layers.items()) or "none"
        raise FatalError(
            Reason.NO_SUCH_LAYER,
            f"head '{head.name}': the dataset has no layer '{head.annotations}'; its layers are: {names}",
        )
    path = conversion_path(layer.task, head.task)
    if path is None:
        usable = ", ".join(task.words for task in _learnable(layer.task))
        raise FatalError(
            Reason.NO_CONVERSION,
            f"head '{head.name}': layer '{layer.name}' holds {layer.task.words}, which cannot become {head.task.words}; "
            f"heads can use it for: {usable}",
        )
    return ResolvedHead(head, layer, path)


def _learnable(task: Task) -> tuple[Task, ...]:
    """The tasks that can use annotations of `task`, fewest conversions first; self-supervised ones, which can use any, last."""

    def distance(target: Task) -> tuple[bool, int]:
        return target.self_supervised, len(conversion_path(task, target) or ())

    return tuple(sorted(reachable(task), key=distance))


def _default_heads(manifest: Manifest) -> list[Head]:
    if not manifest.layers:
        raise FatalError(
            Reason.NO_SUCH_LAYER,
            "the dataset has no layer to make heads for: add annotations to it, or a head that needs none to the model "
            "(autoencoding, viewInvariance)",
        )
    if (count := len(manifest.layers)) > model.MOST_HEADS:
        raise FatalError(
            Reason.BAD_MODEL,
            f"the dataset has {count} layers, but a model has at most {model.MOST_HEADS} heads: choose some in model.heads",
        )
    names = _head_names([layer.name for layer in manifest.layers])
    return [
        Head.model_validate({"name": name, "annotations": layer.name, _field_of(layer.task): {}})
        for name, layer in zip(names, manifest.layers, strict=True)
    ]


def _field_of(task: Task) -> str:
    return next(field for field, its_task in HEAD_FIELDS.items() if its_task is task)


def _head_names(layers: Iterable[str]) -> list[str]:
    """Unique head names made from layer names: "Cats" and "cats!" become `cats` and `cats-2`."""
    names: list[str] = []
    for layer in layers:
        name = _dns_label(layer, _LONGEST_NAME)
        further = (f"{_dns_label(layer, _LONGEST_NAME - 3)}-{number}" for number in itertools.count(2))
        names.append(next(one for one in itertools.chain([name], further) if one not in names))
    return names


def _dns_label(name: str, longest: int) -> str:
    """Lower case, with everything but letters and digits replaced by "-"; "head" if nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:longest].rstrip("-") or "head"
