"""The network as one graph: the same numbers, for any number of images, with the heads that can be in one.

ONNX is compared where onnx, onnxscript and onnxruntime are installed (extra onnx).
"""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_testing.trained_models import tiny_model
from headrace_trainer.errors import FatalError
from headrace_trainer.heads.base import REGISTRY
from headrace_trainer.network.build import normalise
from headrace_trainer.predict.graph import CONFIG_FILE, INPUT, METADATA, export_graph
from headrace_trainer.predict.model import TrainedModel

REFUSED: dict[Task, str] = {}
"""Heads whose graph cannot be written, and a part of the reason that is given."""

onnx_is_there = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")), reason="without the extra onnx"
)
each_task = pytest.mark.parametrize("task", sorted(REGISTRY), ids=lambda task: task.value)


def eager(model: TrainedModel, images: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        outputs = model.network(normalise(images))
    return {f"{name}/{key}": value for name, found in outputs.items() for key, value in found.items()}


def noise(count: int, model: TrainedModel) -> Tensor:
    return torch.randint(0, 256, (count, 3, *model.image_size), dtype=torch.uint8)


@each_task
def test_torch_export_gives_the_networks_numbers_or_says_why_not(task: Task, tmp_path: Path) -> None:
    model, file = tiny_model([task]), tmp_path / "model.pt2"
    if task in REFUSED:
        with pytest.raises(FatalError, match=REFUSED[task]):
            export_graph(model, "torch-export", file)
        assert not list(tmp_path.iterdir())
        return
    exported = export_graph(model, "torch-export", file)
    assert (exported.heads, exported.refused) == ([task.value], {})
    assert exported.difference < 1e-4
    extra = {CONFIG_FILE: ""}
    program = torch.export.load(file, extra_files=extra).module()
    assert json.loads(extra[CONFIG_FILE]) == model.config
    for count in (1, 5):
        images = noise(count, model)
        with torch.no_grad():
            found = program(images)
        want = eager(model, images)
        assert found.keys() == want.keys()
        for name, tensor in want.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]


@onnx_is_there
@each_task
def test_onnx_gives_the_networks_numbers_or_says_why_not(task: Task, tmp_path: Path) -> None:
    import onnxruntime

    model, file = tiny_model([task]), tmp_path / "model.onnx"
    if task in REFUSED:
        with pytest.raises(FatalError, match=REFUSED[task]):
            export_graph(model, "onnx", file)
        return
    exported = export_graph(model, "onnx", file)
    assert exported.heads == [task.value]
    assert exported.difference < 1e-3
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map[METADATA]) == model.config
    images = noise(4, model)
    want = eager(model, images)
    names = [output.name for output in session.get_outputs()]
    assert set(names) == want.keys()
    for name, value in zip(names, session.run(names, {INPUT: images.numpy()}), strict=True):
        torch.testing.assert_close(torch.from_numpy(value), want[name], rtol=1e-3, atol=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"], "the weights are in it"


class Loops(nn.Module):
    """A head whose graph depends on the numbers."""

    task = Task.REGRESSION

    def forward(self, features: dict[int, Tensor]) -> dict[str, Tensor]:
        x = features[5].mean(dim=(1, 2, 3))
        return {"value": x + 1 if float(x.sum()) > 0 else x}


def with_a_bad_head() -> TrainedModel:
    model = tiny_model([Task.MULTICLASS_CLASSIFICATION])
    model.network.heads["loops"] = Loops()
    return model


def test_a_head_that_cannot_be_in_a_graph_is_left_out_and_told(tmp_path: Path) -> None:
    exported = export_graph(with_a_bad_head(), "torch-export", tmp_path / "model.pt2")
    assert exported.heads == ["multiclass-classification"]
    assert exported.refused.keys() == {"loops"}
    assert exported.refused["loops"]


def test_a_head_that_was_asked_for_and_cannot_be_in_a_graph_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"no graph can be made of head 'loops' \(regression\): \w+") as caught:
        export_graph(with_a_bad_head(), "torch-export", tmp_path / "model.pt2", ["loops"])
    assert caught.value.reason is Reason.BAD_MODEL
    assert not list(tmp_path.iterdir())


def test_some_heads_can_be_chosen(tmp_path: Path) -> None:
    model = tiny_model([Task.MULTICLASS_CLASSIFICATION, Task.OBJECT_DETECTION])
    exported = export_graph(model, "torch-export", tmp_path / "model.pt2", ["object-detection"])
    assert exported.heads == ["object-detection"]
    with pytest.raises(FatalError, match="there is no head boxes; there are: multiclass-classification, object-detection"):
        export_graph(model, "torch-export", tmp_path / "model.pt2", ["boxes"])


def test_onnx_without_its_packages_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else real(name))
    with pytest.raises(FatalError, match=r"not installed: (onnx, )?onnxscript; pip install 'headrace\[onnx\]'"):
        export_graph(tiny_model([Task.MULTICLASS_CLASSIFICATION]), "onnx", tmp_path / "model.onnx")


def test_a_graph_that_gives_other_numbers_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace_trainer.predict import graph

    load = graph._load_torch
    monkeypatch.setattr(graph, "_load_torch", lambda path: lambda x: {n: v + 1 for n, v in load(path)(x).items()})
    with pytest.raises(FatalError, match=r"output multiclass-classification/logits of the graph .* differs .* by 1"):
        export_graph(tiny_model([Task.MULTICLASS_CLASSIFICATION]), "torch-export", tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())
