"""Loads initial weights: whatever fits from an earlier job's model/ folder, or from a checkpoint of the backbone's library.

A tensor is loaded if one of the same name has the same shape. A head's tensors are only loaded if the earlier head solved the same
task, and its buffers, which may depend on labels, only if the labels are the same. Everything else stays random and is logged.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from headrace_api import runfolder
from headrace_api.errors import FatalError
from headrace_api.first_few import first_few
from headrace_api.heads import HEAD_FIELDS, Head
from headrace_api.names import Reason
from headrace_trainer.data.problems import is_of_the_machine
from headrace_trainer.network.build import HeadPlan, Network, prefix_of_head

_FEW: Final = 0.5
"""If less than this share of a backbone's weights fit, they are probably for another architecture."""


@dataclass(frozen=True)
class SavedWeights:
    """The weights found in a file or folder."""

    tensors: Mapping[str, Tensor]
    heads: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """From a model/ folder: the heads as in a manifest, by name."""
    labels: Mapping[str, Any] = field(default_factory=dict)
    """From a model/ folder: each head's label space, as JSON."""

    @property
    def is_whole_network(self) -> bool:
        """Whether these are the weights of a whole Headrace network, not of a backbone only."""
        return any(name.startswith("backbone.") for name in self.tensors)


@dataclass
class _Part:
    """A part of the network: backbone, neck or one head."""

    name: str
    note: str
    weights: int = 0
    taken: int = 0
    differing: list[str] = field(default_factory=list)
    """Weights that are present in another shape: name and both shapes."""

    @property
    def described(self) -> str:
        """How many of its tensors were loaded, and why others were not."""
        notes = [self.note] if self.note else []
        if self.differing:
            notes.append(f"different shape: {first_few(self.differing, 1)}")
        return f"{self.name} {self.taken} of {self.weights}" + (f" ({'; '.join(notes)})" if notes else "")


def load_initial_weights(path: Path, network: Network, heads: Sequence[HeadPlan], say: Callable[[str], None]) -> None:
    """Load whatever fits from `path` (a model/ folder, a .safetensors or a .pth file) into `network`, and log it with `say`.

    Raises FatalError(BAD_MODEL), leaving `network` unchanged, if it cannot be read, nothing fits, or what fits is not finite.
    """
    saved = read_weights(path)
    found = _Finder(saved, network)
    parts = [_take("backbone", "backbone.", network, found)]
    if network.neck is not None:
        parts.append(_take("neck", "neck.", network, found))
    for plan in heads:
        parts.append(_take_head(plan, network, found))
    if not any(part.taken for part in parts):
        raise FatalError(Reason.BAD_MODEL, _nothing_fits(path, saved, network))
    found.copy(runfolder.MODEL_WEIGHTS if path.is_dir() else path.name)
    say(f"initial weights, tensors loaded: {', '.join(part.described for part in parts)}")
    if left := sorted(saved.tensors.keys() - found.taken.keys()):
        say(f"initial weights: {len(left)} tensors have no place in this network: {first_few(left, 3)}")
    if parts[0].taken < _FEW * parts[0].weights:
        say(f"WARNING: few of the initial weights fit the backbone {network.backbone.name}: are they for another architecture?")


def read_weights(path: Path) -> SavedWeights:
    """The weights in `path`. Raises FatalError(BAD_MODEL) if they cannot be read."""
    if path.is_dir():
        tensors = _read_tensors(path / runfolder.MODEL_WEIGHTS)
        try:
            config = json.loads((path / runfolder.MODEL_CONFIG).read_bytes())
            heads = {head["name"]: head for head in config["network"]["heads"]}
            return SavedWeights(tensors, heads, config["labels"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FatalError(
                Reason.BAD_MODEL, f"initialWeights: {runfolder.MODEL_CONFIG} was not written by a job: {error!r}"
            ) from error
    return SavedWeights(_read_tensors(path))


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        # weights_only: no code from the pickle is run.
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # readers raise anything on hostile files: KeyError for a text file
        if is_of_the_machine(error):
            raise
        raise FatalError(Reason.BAD_MODEL, f"initialWeights: {file.name} cannot be read as weights: {_why(file, error)}") from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise FatalError(
            Reason.BAD_MODEL, f"initialWeights: {file.name} is not a dict of tensors by name, as torchvision publishes them"
        )
    return content


def _why(file: Path, error: Exception) -> str:
    """The error in one sentence. torch's messages are long and advise running the code in files with more than tensors."""
    if file.suffix == ".safetensors":
        return str(error)
    return "it was not written by torch.save, is truncated, or holds more than tensors and plain values"


class _Finder:
    """Looks up the network's tensors among the saved ones and records which saved tensor goes where."""

    def __init__(self, saved: SavedWeights, network: Network) -> None:
        self.saved = saved
        self.taken: dict[str, Tensor] = {}
        """The network's tensors, by the name in `saved`."""
        self._network = network
        self._by_plain_name = {_plain(name): name for name in saved.tensors}

    def find(self, name: str) -> str | None:
        """The name in `saved` for the network's tensor `name`."""
        if self.saved.is_whole_network:
            return name if name in self.saved.tensors else None
        if not name.startswith("backbone."):
            return None
        return self._by_plain_name.get(_plain(self._network.backbone.name_in_checkpoint(name.removeprefix("backbone."))))

    @torch.no_grad()
    def copy(self, file: str) -> None:
        """Copy the tensors into the network. Raises FatalError(BAD_MODEL), copying nothing, if any is not finite."""
        values = {name: self.saved.tensors[name].to(tensor.dtype) for name, tensor in self.taken.items()}
        if (bad := next((name for name, value in values.items() if not value.isfinite().all()), None)) is not None:
            raise FatalError(
                Reason.BAD_MODEL,
                f"initialWeights: {file}: {bad} has values that are not finite (NaN, infinite, or beyond {values[bad].dtype}): "
                "use weights from a training that did not diverge",
            )
        for name, tensor in self.taken.items():
            tensor.copy_(values[name])


def _plain(name: str) -> str:
    """Dots replaced: timm's pyramids rename the full architecture's `stages.0` to `stages_0`."""
    return name.replace(".", "_")


def _take_head(plan: HeadPlan, network: Network, found: _Finder) -> _Part:
    """Like `_take`, with the rules for heads."""
    name, saved = plan.spec.name, found.saved
    part, prefix = f"head '{name}'", prefix_of_head(name)
    if not saved.heads:
        return _take(part, prefix, network, found)
    there = saved.heads.get(name)
    if there is None or not _solves(there, plan.spec):
        note = "no such head there" if there is None else "different task there"
        return _take(part, prefix, network, found, note, parameters=False, buffers=False)
    if saved.labels.get(name) != plan.labels.to_json():
        return _take(part, prefix, network, found, "its labels differ", buffers=False)
    return _take(part, prefix, network, found)


def _solves(there: Mapping[str, Any], head: Head) -> bool:
    """Whether a head from a manifest has the same task."""
    field_of_task = next(field for field, task in HEAD_FIELDS.items() if task is head.task)
    return Head.model_fields[field_of_task].alias in there


def _take(
    part: str, prefix: str, network: Network, found: _Finder, note: str = "", *, parameters: bool = True, buffers: bool = True
) -> _Part:
    """Find saved tensors for the network's `parameters` and `buffers` whose names begin with `prefix`."""
    result = _Part(part, note)
    named_parameters = {name for name, _ in network.named_parameters()}
    for name, tensor in network.state_dict().items():
        if not name.startswith(prefix):
            continue
        counts = tensor.ndim > 0  # batch normalisation's counters fit everywhere and are not weights
        result.weights += counts
        there = found.find(name) if (parameters if name in named_parameters else buffers) else None
        if there is None:
            continue
        value = found.saved.tensors[there]
        if value.shape != tensor.shape:
            result.differing.append(f"{there} is {list(value.shape)} there and {list(tensor.shape)} here")
            continue
        found.taken[there] = tensor
        result.taken += counts
    return result


def _nothing_fits(path: Path, saved: SavedWeights, network: Network) -> str:
    def example(tensors: Mapping[str, Tensor]) -> str:
        return next((f"{name} {list(tensor.shape)}" for name, tensor in tensors.items()), "nothing")

    return (
        f"initialWeights: none of the {len(saved.tensors)} tensors in {path.name} fits this network by name and shape; its first "
        f"is {example(saved.tensors)}, the network's is {example(network.state_dict())}: use the model/ folder of a job with the "
        f"same backbone ({network.backbone.name}), or that backbone's weights under torchvision's names"
    )
