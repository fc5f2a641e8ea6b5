"""The network as one graph: the same numbers, for any number of images, with every head that can be exported."""

import importlib.util
import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from headrace_api.errors import FatalError
from headrace_api.names import ExitCode, Reason
from headrace_api.tasks import Task
from headrace_testing.trained_models import tiny_model
from headrace_trainer.heads.base import REGISTRY
from headrace_trainer.network.build import Network
from headrace_trainer.ops.pixels import normalise
from headrace_trainer.predict.__main__ import main
from headrace_trainer.predict.graph import CONFIG_FILE, INPUT, METADATA, Exported, export_graph
from headrace_trainer.predict.model import TrainedModel

REFUSED: dict[Task, str] = {}
"""Heads whose graph cannot be written, and part of the reason given."""

each_task = pytest.mark.parametrize("task", sorted(REGISTRY), ids=lambda task: task.value)


def eager(model: TrainedModel, images: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        outputs = model.network(normalise(images))
    return {f"{name}/{key}": value for name, found in outputs.items() for key, value in found.items()}


def noise(count: int, model: TrainedModel) -> Tensor:
    return torch.randint(0, 256, (count, 3, *model.image_size), dtype=torch.uint8)


@dataclass
class Compared:
    """A graph of all heads, and its outputs for some images."""

    exported: Exported
    config: dict[str, object]
    found: dict[str, Tensor]
    want: dict[str, Tensor]


@pytest.fixture(scope="module")
def by_torch(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    model, file = tiny_model(sorted(REGISTRY)), tmp_path_factory.mktemp("torch") / "model.pt2"
    exported = export_graph(model, "torch-export", file)
    extra, images = {CONFIG_FILE: ""}, noise(5, model)
    program = torch.export.load(file, extra_files=extra).module()
    assert [path.name for path in file.parent.iterdir()] == ["model.pt2"]
    with torch.no_grad():
        return Compared(exported, json.loads(extra[CONFIG_FILE]), program(images), eager(model, images))


@pytest.fixture(scope="module")
def by_onnx(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    import onnxruntime

    model, file = tiny_model(sorted(REGISTRY)), tmp_path_factory.mktemp("onnx") / "model.onnx"
    exported = export_graph(model, "onnx", file)
    assert [path.name for path in file.parent.iterdir()] == ["model.onnx"], "the weights must be in it"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names, images = [output.name for output in session.get_outputs()], noise(5, model)
    found = {name: torch.from_numpy(value) for name, value in zip(names, session.run(names, {INPUT: images.numpy()}), strict=True)}
    config = json.loads(session.get_modelmeta().custom_metadata_map[METADATA])
    return Compared(exported, config, found, eager(model, images))


def check(compared: Compared, task: Task, tolerance: float) -> None:
    """The graph has the head of `task` and gives the network's numbers, or the export says why not."""
    assert compared.config == {"version": 1}
    if task in REFUSED:
        assert REFUSED[task] in compared.exported.refused[task.value]
        return
    assert task.value in compared.exported.heads
    names = {name for name in compared.want if name.startswith(f"{task.value}/")}
    assert names == {name for name in compared.found if name.startswith(f"{task.value}/")}
    for name in names:
        torch.testing.assert_close(compared.found[name], compared.want[name], rtol=tolerance, atol=tolerance)


@each_task
def test_torch_export_gives_the_networks_numbers_or_says_why_not(task: Task, by_torch: Compared) -> None:
    check(by_torch, task, 1e-4)


@each_task
def test_onnx_gives_the_networks_numbers_or_says_why_not(task: Task, by_onnx: Compared) -> None:
    check(by_onnx, task, 1e-3)


class Loops(nn.Module):
    """A head whose graph depends on the data."""

    task = Task.REGRESSION

    def forward(self, features: dict[int, Tensor]) -> dict[str, Tensor]:
        x = features[5].mean(dim=(1, 2, 3))
        return {"value": x + 1 if float(x.sum()) > 0 else x}


def with_a_bad_head() -> TrainedModel:
    model = tiny_model([Task.MULTICLASS_CLASSIFICATION])
    network = model.network
    return replace(model, network=Network(network.backbone, network.neck, {**network.heads, "loops": Loops()}).eval())


def test_a_head_that_cannot_be_in_a_graph_is_left_out_and_reported(tmp_path: Path) -> None:
    exported = export_graph(with_a_bad_head(), "torch-export", tmp_path / "model.pt2")
    assert exported.heads == ["multiclass-classification"]
    assert exported.refused.keys() == {"loops"}
    assert exported.refused["loops"]


def test_a_requested_head_that_cannot_be_in_a_graph_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"cannot make a graph of head 'loops' \(regression\): \w+") as caught:
        export_graph(with_a_bad_head(), "torch-export", tmp_path / "model.pt2", ["loops"])
    assert caught.value.reason is Reason.BAD_MODEL
    assert not list(tmp_path.iterdir())


def test_some_heads_can_be_chosen(tmp_path: Path) -> None:
    model = tiny_model([Task.MULTICLASS_CLASSIFICATION, Task.OBJECT_DETECTION])
    exported = export_graph(model, "torch-export", tmp_path / "model.pt2", ["object-detection"])
    assert exported.heads == ["object-detection"]
    with pytest.raises(FatalError, match="there is no head boxes; the heads are: multiclass-classification, object-detection"):
        export_graph(model, "torch-export", tmp_path / "model.pt2", ["boxes"])


def test_onnx_without_its_packages_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else real(name))
    with pytest.raises(FatalError, match=r"not installed: (onnx, )?onnxscript; in a checkout of Headrace: pip install '.\[onnx\]'"):
        export_graph(tiny_model([Task.MULTICLASS_CLASSIFICATION]), "onnx", tmp_path / "model.onnx")


def test_without_onnxruntime_it_is_not_compared_and_no_difference_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else real(name))
    monkeypatch.setattr("headrace_trainer.predict.model.load_model", lambda *_: tiny_model([Task.MULTICLASS_CLASSIFICATION]))
    file = tmp_path / "model.onnx"
    assert main(["graph", "--format", "onnx", "--out", str(file), "--", str(tmp_path)]) == ExitCode.OK
    assert file.is_file()
    said = capsys.readouterr()
    assert ["largest difference", "not compared"] in json.loads(said.out.splitlines()[-1])["facts"]
    assert "the graph was not compared with the network: onnxruntime is not installed" in said.err


def test_a_graph_that_gives_other_numbers_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace_trainer.predict import graph

    load = graph._load_torch
    monkeypatch.setattr(graph, "_load_torch", lambda path: lambda x: {n: v + 1 for n, v in load(path)(x).items()})
    with pytest.raises(FatalError, match=r"output multiclass-classification/logits of the graph .* differ by 1"):
        export_graph(tiny_model([Task.MULTICLASS_CLASSIFICATION]), "torch-export", tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())
