"""Exports the network as one graph for other programs, by torch.export or as ONNX.

    images      uint8 [B, 3, H, W], RGB, letterboxed to the training size; B is variable, H and W are fixed
    ->          every head's outputs before decoding, float32, by "<head>/<output>", documented in the head's file

Decoding (`Head.decode`) is not included: non-maximum suppression and merging are loops of data-dependent length, and other programs
have their own. config.json is stored in the graph: in ONNX as the metadata "headrace", in a .pt2 as the extra file "config.json".
"""

import importlib.util
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_trainer.heads.base import Features
from headrace_trainer.network.build import Network
from headrace_trainer.ops.pixels import IMAGE_MEAN, IMAGE_STD
from headrace_trainer.predict.messages import warn
from headrace_trainer.predict.model import TrainedModel

INPUT: Final = "images"
METADATA: Final = "headrace"
CONFIG_FILE: Final = "config.json"
_SAMPLES: Final = 2
"""Images in the traced batch: a batch of one would make its size a constant."""
_COMPARED: Final = (1, 3)
"""Batch sizes for the comparison."""
_TOLERANCE: Final = 1e-3
"""Largest difference from the network itself, as a share of the output's largest value (or of 1 if that is less); rounding errors
are far smaller."""

Format = Literal["onnx", "torch-export"]
Outputs = Mapping[str, Tensor]
Call = Callable[[Tensor], Outputs]


@dataclass
class Exported:
    """The result of an export."""

    heads: list[str] = field(default_factory=list)
    """Heads in the graph."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why other heads are not in it, by name."""
    difference: float | None = None
    """Largest absolute difference between the outputs of the graph and the network; None if they were not compared."""


class Graph(nn.Module):
    """The network with some of its heads, from pixels to outputs named "<head>/<output>"."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: Network, heads: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self._heads = tuple(heads)
        # Does the same as ops.pixels.normalise, which would cache tensors made by the tracer and reuse them in later calls.
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(IMAGE_STD).view(3, 1, 1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features: Features = self.network.features((images.float() / 255 - self.mean) / self.deviation)
        outputs = {name: self.network.heads[name](features) for name in self._heads}
        return {f"{name}/{key}": value for name, found in outputs.items() for key, value in found.items()}


def export_graph(model: TrainedModel, to: Format, out: Path, wanted: Sequence[str] = ()) -> Exported:
    """Write the graph of `model` with the heads `wanted` (if empty, all that can be exported) into the file `out`, and compare it.

    Raises FatalError(BAD_MODEL) if a named head, or every head, cannot be exported, a head does not exist, packages are missing, or
    the graph's outputs differ from the network's. Without onnxruntime, ONNX is written without a comparison, with a warning.
    """
    if unknown := sorted(set(wanted) - set(model.heads)):
        raise FatalError(Reason.BAD_MODEL, f"there is no head {', '.join(unknown)}; the heads are: {', '.join(model.heads)}")
    if to == "onnx" and (missing := [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]):
        raise FatalError(
            Reason.BAD_MODEL,
            f"ONNX needs packages that are not installed: {', '.join(missing)}; in a checkout of Headrace: pip install '.[onnx]'",
        )
    # 1. Trace the graph, without the heads that cannot be traced.
    exported, program = _trace(model, list(wanted or model.heads))
    if program is None or (exported.refused and wanted):
        reasons = "; ".join(f"head '{name}' ({model.heads[name].task.words}): {why}" for name, why in exported.refused.items())
        raise FatalError(Reason.BAD_MODEL, f"cannot make a graph of {reasons}")
    # 2. Write it to a temporary file.
    out.parent.mkdir(parents=True, exist_ok=True)
    save, load, suffix = (_save_onnx, _load_onnx, ".onnx") if to == "onnx" else (_save_torch, _load_torch, ".pt2")
    partial = out.with_name(f".{os.getpid()}-{out.name}{suffix}")  # torch requires the suffix
    try:
        save(program, partial, model.config)
        # 3. Compare the file as written, then rename it.
        if (call := load(partial)) is not None:
            exported.difference = _compare(call, Graph(model.network, exported.heads), model.image_size)
        partial.rename(out)
    finally:
        partial.unlink(missing_ok=True)
    return exported


def _trace(model: TrainedModel, names: list[str]) -> tuple[Exported, torch.export.ExportedProgram | None]:
    """The program with the heads `names`, or with those that can be traced if not all can."""
    try:
        return Exported(names), _program(model, names)
    except Exception as error:  # the tracer can raise anything; trying each head alone finds which one it is
        refused = {names[0]: _first_line(error)} if len(names) == 1 else _refusals(model, names)
    good = [name for name in names if name not in refused]
    return Exported(good, refused), _program(model, good) if good else None


def _refusals(model: TrainedModel, names: list[str]) -> dict[str, str]:
    return {name: reason for name in names for reason in _trace(model, [name])[0].refused.values()}


def _program(model: TrainedModel, heads: Sequence[str]) -> torch.export.ExportedProgram:
    images = torch.zeros(_SAMPLES, 3, *model.image_size, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=4096)
    with torch.no_grad():
        return torch.export.export(Graph(model.network, heads), (images,), dynamic_shapes=({0: batch},), strict=False)


def _save_torch(program: torch.export.ExportedProgram, path: Path, config: Mapping[str, Any]) -> None:
    torch.export.save(program, path, extra_files={CONFIG_FILE: json.dumps(config)})


def _load_torch(path: Path) -> Call:
    call: Call = torch.export.load(path).module()
    return call


def _save_onnx(program: torch.export.ExportedProgram, path: Path, config: Mapping[str, Any]) -> None:
    with torch.no_grad():
        names = list(program.module()(program.example_inputs[0][0]))
    made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=[INPUT], output_names=names)
    assert made is not None, "the result when no file is given"
    made.model.metadata_props[METADATA] = json.dumps(config)
    made.save(path)


def _load_onnx(path: Path) -> Call | None:
    """None if onnxruntime is not installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        warn("the graph was not compared with the network: onnxruntime is not installed")
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def call(images: Tensor) -> Outputs:
        found = session.run(names, {INPUT: images.numpy()})
        return {name: torch.from_numpy(value) for name, value in zip(names, found, strict=True)}

    return call


@torch.no_grad()
def _compare(call: Call, graph: Graph, size: tuple[int, int]) -> float:
    """The largest difference on noise; raises FatalError(BAD_MODEL) if it is larger than rounding errors."""
    largest = 0.0
    for count in _COMPARED:
        images = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(count))
        found, wanted = call(images), graph(images)
        for name, want in wanted.items():
            difference = float((found[name] - want).abs().max())
            if found[name].shape != want.shape or not difference <= _TOLERANCE * max(1.0, float(want.abs().max())):
                shapes = f"has shape {list(found[name].shape)}, the network's {list(want.shape)}"
                raise FatalError(
                    Reason.BAD_MODEL,
                    f"output {name} of the graph {shapes}, and they differ by {difference:.3g}: the graph is unusable",
                )
            largest = max(largest, difference)
    return largest


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
