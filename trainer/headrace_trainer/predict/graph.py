"""The network as one graph for other programs: by torch.export, or as ONNX.

    images      uint8 [B, 3, H, W], RGB, letterboxed to the size that the network was trained at; B is free, H and W are not
    ->          what every head gives before decoding, float32, by "<head>/<output>": its file says what that is

Decoding stays outside (`Head.decode`): non-maximum suppression and merging are loops whose lengths the images decide, and other
programs have their own. config.json travels with the graph: in ONNX as the metadata "headrace", in a .pt2 as the extra file
"config.json".
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
"""Images of the batch that is traced: of one, its size would be taken for a constant."""
_COMPARED: Final = (1, 3)
"""Sizes of the batches that are compared."""
_TOLERANCE: Final = 1e-3
"""Of a difference to the network itself, as a share of the output's largest number; other orders of addition stay far below."""

Format = Literal["onnx", "torch-export"]
Outputs = Mapping[str, Tensor]
Call = Callable[[Tensor], Outputs]


@dataclass
class Exported:
    """What became of an export."""

    heads: list[str] = field(default_factory=list)
    """Those in the graph."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why the others are not, by name."""
    difference: float | None = None
    """Largest absolute difference between any number that the graph and the network gave; None where they were not compared."""


class Graph(nn.Module):
    """The network with some of its heads, from pixels to outputs by "<head>/<output>"."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: Network, heads: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self._heads = tuple(heads)
        # As ops.pixels.normalise does. Not by it: what it keeps, the tracer would make and every later call would find.
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(IMAGE_STD).view(3, 1, 1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features: Features = self.network.features((images.float() / 255 - self.mean) / self.deviation)
        outputs = {name: self.network.heads[name](features) for name in self._heads}
        return {f"{name}/{key}": value for name, found in outputs.items() for key, value in found.items()}


def export_graph(model: TrainedModel, to: Format, out: Path, wanted: Sequence[str] = ()) -> Exported:
    """Write the graph of `model` with the heads `wanted` (none named: all that can be) into the file `out`, and compare it.

    Raises FatalError(BAD_MODEL) where a head that was named, or every head, cannot be exported, where there is no such head, where
    the packages are missing, and where the graph gives other numbers than the network. Without onnxruntime, which some machines
    have none of, ONNX is written and not compared, and a warning says so.
    """
    if unknown := sorted(set(wanted) - set(model.heads)):
        raise FatalError(Reason.BAD_MODEL, f"there is no head {', '.join(unknown)}; there are: {', '.join(model.heads)}")
    if to == "onnx" and (missing := [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]):
        raise FatalError(
            Reason.BAD_MODEL,
            f"ONNX needs packages that are not installed: {', '.join(missing)}; in a checkout of Headrace: pip install '.[onnx]'",
        )
    # 1. The graph, without the heads that cannot be in one.
    exported, program = _trace(model, list(wanted or model.heads))
    if program is None or (exported.refused and wanted):
        reasons = "; ".join(f"head '{name}' ({model.heads[name].task.words}): {why}" for name, why in exported.refused.items())
        raise FatalError(Reason.BAD_MODEL, f"no graph can be made of {reasons}")
    # 2. Written, under its name once it is whole.
    out.parent.mkdir(parents=True, exist_ok=True)
    save, load, suffix = (_save_onnx, _load_onnx, ".onnx") if to == "onnx" else (_save_torch, _load_torch, ".pt2")
    partial = out.with_name(f".{os.getpid()}-{out.name}{suffix}")  # torch writes to nothing that is not called so
    try:
        save(program, partial, model.config)
        # 3. Compared as it was written.
        if (call := load(partial)) is not None:
            exported.difference = _compare(call, Graph(model.network, exported.heads), model.image_size)
        partial.rename(out)
    finally:
        partial.unlink(missing_ok=True)
    return exported


def _trace(model: TrainedModel, names: list[str]) -> tuple[Exported, torch.export.ExportedProgram | None]:
    """The program of the heads `names`; of those that it can be made of, where it cannot of all."""
    try:
        return Exported(names), _program(model, names)
    except Exception as error:  # whatever the tracer meets; which head it is of is found by trying them alone
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
    assert made is not None, "what it gives where it is not told to write a file"
    made.model.metadata_props[METADATA] = json.dumps(config)
    made.save(path)


def _load_onnx(path: Path) -> Call | None:
    """None where there is nothing to run it."""
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
    """The largest difference on noise; raises FatalError(BAD_MODEL) where it is more than rounding."""
    largest = 0.0
    for count in _COMPARED:
        images = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(count))
        found, wanted = call(images), graph(images)
        for name, want in wanted.items():
            difference = float((found[name] - want).abs().max())
            if found[name].shape != want.shape or not difference <= _TOLERANCE * max(1.0, float(want.abs().max())):
                shapes = f"{list(found[name].shape)}, the network's {list(want.shape)}"
                raise FatalError(
                    Reason.BAD_MODEL,
                    f"output {name} of the graph is {shapes}, and differs from it by {difference:.3g}: not to be used",
                )
            largest = max(largest, difference)
    return largest


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
