"""Initial weights: what fits is used, the rest is reported, and if nothing fits that is an error."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor

from headrace_api import model
from headrace_api.errors import FatalError
from headrace_api.heads import Head
from headrace_api.names import Reason
from headrace_api.training import ImageSize
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.build import HeadPlan, Network, build_network
from headrace_trainer.worker.evaluate import Scores
from headrace_trainer.worker.export import export_model
from headrace_trainer.worker.initial_weights import load_initial_weights

THREE = LabelSpace(classes=("red", "green", "blue"))
FOUR = LabelSpace(classes=("red", "green", "blue", "grey"))
OTHERS = LabelSpace(classes=("square", "round", "flat"))
REGIONS: dict[str, Any] = {"semanticSegmentation": {}}
TAGS: dict[str, Any] = {"multilabelClassification": {}}
KIND: dict[str, Any] = {"multiclassClassification": {}}


def plans(heads: dict[str, tuple[dict[str, Any], LabelSpace]]) -> list[HeadPlan]:
    return [
        HeadPlan(Head.model_validate({"name": name, "annotations": "a", **task}), labels) for name, (task, labels) in heads.items()
    ]


def make(seed: int, heads: list[HeadPlan], **parts: Any) -> tuple[Network, model.Network]:
    torch.manual_seed(seed)
    given = {"backbone": {"name": "resnet18", "topLevel": 3}, "neck": {"fpn": {"channels": 16}, "bottomLevel": 3, "topLevel": 4}}
    spec = model.Network.model_validate(given | parts)
    return build_network(spec, heads).to(memory_format=torch.channels_last), spec


def exported(folder: Path, heads: list[HeadPlan], **parts: Any) -> tuple[Path, dict[str, Tensor]]:
    """The model/ folder of an earlier job, and its tensors."""
    network, spec = make(1, heads, **parts)
    scores = Scores({}, {})
    path = folder / export_model(
        folder, network=network, spec=spec, heads=tuple(heads), image_size=ImageSize(), iteration=1, scores=scores, card=""
    )
    return path, load_file(path / "model.safetensors")


def load(path: Path, heads: list[HeadPlan], **parts: Any) -> tuple[dict[str, Tensor], dict[str, Tensor], list[str]]:
    """The network before and after, and the messages."""
    network, _ = make(2, heads, **parts)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    said: list[str] = []
    load_initial_weights(path, network, heads, said.append)
    return before, network.state_dict(), said


def of(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def assert_same(got: dict[str, Tensor], want: dict[str, Tensor], prefix: str) -> None:
    assert of(prefix, want)
    for name, tensor in of(prefix, want).items():
        assert torch.equal(got[name], tensor), name


def refusal(path: Path, heads: list[HeadPlan], **parts: Any) -> str:
    network, _ = make(2, heads, **parts)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(FatalError) as caught:
        load_initial_weights(path, network, heads, lambda _: None)
    assert caught.value.reason is Reason.BAD_MODEL
    assert_same(network.state_dict(), before, "")
    return caught.value.message


def test_an_earlier_job_with_the_same_network_is_used_completely(tmp_path: Path) -> None:
    heads = plans({"tags": (TAGS, THREE), "kind": (KIND, THREE)})
    path, want = exported(tmp_path, heads)
    _, got, said = load(path, heads)
    assert_same(got, want, "")
    (line,) = said
    assert line.startswith("initial weights, tensors loaded: backbone ")
    for part in line.split(": ", 1)[1].split(", "):
        taken, _, of_all = part.split(" ")[-3:]
        assert taken == of_all, part


def test_heads_that_fit_are_used_and_the_rest_is_reported(tmp_path: Path) -> None:
    path, want = exported(
        tmp_path, plans({"map": (REGIONS, THREE), "kind": (KIND, THREE), "old": (TAGS, THREE), "sort": (KIND, THREE)})
    )
    heads = plans({"map": (REGIONS, FOUR), "kind": (TAGS, THREE), "new": (TAGS, THREE), "sort": (KIND, OTHERS)})
    before, got, (taken, left) = load(path, heads)

    assert_same(got, want, "backbone.")
    assert_same(got, want, "neck.")
    assert_same(got, before, "head-kind.")
    assert "head 'kind' 0 of" in taken
    assert "(different task there)" in taken
    assert_same(got, before, "head-new.")
    assert "(no such head there)" in taken
    # Another number of classes: everything but the last layer.
    fits = [name for name, tensor in of("head-map.", want).items() if tensor.shape == got[name].shape]
    assert 0 < len(fits) < len(of("head-map.", want))
    assert all(torch.equal(got[name], want[name]) for name in fits)
    assert f"head 'map' {len(fits)} of {len(of('head-map.', want))} (its labels differ; different shape: head-map." in taken
    # The same number of other classes: shapes fit, with a warning.
    assert_same(got, want, "head-sort.")
    assert "(its labels differ)" in taken
    unused = len(of("head-old.", want)) + len(of("head-kind.", want)) + len(of("head-map.", want)) - len(fits)
    assert left.startswith(f"initial weights: {unused} tensors have no place in this network: head-kind.")


def test_a_head_with_other_labels_keeps_its_own_buffers(tmp_path: Path) -> None:
    """They may depend on the labels: means of values, features of normal images."""
    regression = {"regression": {}}
    there = LabelSpace(values=("angle",), means=(100.0,), deviations=(50.0,))
    here = LabelSpace(values=("count",), means=(3.0,), deviations=(1.0,))
    path, want = exported(tmp_path, plans({"number": (regression, there)}))
    before, got, _ = load(path, plans({"number": (regression, here)}))
    network, _ = make(2, plans({"number": (regression, here)}))
    buffers = dict(network.heads["number"].named_buffers())
    for name in of("head-number.", want):
        expected = before if name.removeprefix("head-number.") in buffers else want
        assert torch.equal(got[name], expected[name]), name


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "swin_t"])
def test_a_checkpoint_of_torchvision_fills_the_backbone(tmp_path: Path, name: str, suffix: str) -> None:
    torch.manual_seed(3)
    want = torchvision.models.get_model(name, weights=None).state_dict()
    path = tmp_path / f"{name}-0123{suffix}"
    save_file(want, path) if suffix == ".safetensors" else torch.save(want, path)
    heads = plans({"tags": (TAGS, THREE)})
    before, got, said = load(path, heads, backbone={"name": name})
    for key in of("backbone.", got):
        assert torch.equal(got[key], want[key.removeprefix("backbone.")]), key
    assert_same(got, before, "neck.")
    assert_same(got, before, "head-")
    assert "neck 0 of" in said[0]
    assert "tensors have no place in this network" in said[1]
    assert len(said) == 2, "no warning"


def test_batch_statistics_are_used_too(tmp_path: Path) -> None:
    whole = torchvision.models.resnet18(weights=None)
    whole(torch.randn(2, 3, 64, 64))
    save_file(whole.state_dict(), tmp_path / "resnet18.safetensors")
    _, got, _ = load(tmp_path / "resnet18.safetensors", [])
    assert torch.equal(got["backbone.bn1.running_mean"], whole.bn1.running_mean)
    assert got["backbone.bn1.running_mean"].any()
    assert got["backbone.bn1.num_batches_tracked"] == 1


def test_a_checkpoint_of_timm_fills_its_pyramid(tmp_path: Path) -> None:
    want = timm.create_model("convnext_atto", pretrained=False).state_dict()
    save_file(want, tmp_path / "convnext_atto.safetensors")
    _, got, said = load(tmp_path / "convnext_atto.safetensors", [], backbone={"name": "timm/convnext_atto"})
    backbone = of("backbone.", got)
    assert f"backbone {len(backbone)} of {len(backbone)}," in said[0]
    assert torch.equal(got["backbone.model.stages_1.blocks.0.conv_dw.weight"], want["stages.1.blocks.0.conv_dw.weight"])


def test_another_architecture_gets_a_warning(tmp_path: Path) -> None:
    save_file(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "resnet18.safetensors")
    _, _, said = load(tmp_path / "resnet18.safetensors", [], backbone={"name": "resnet50"})
    assert said[-1] == "WARNING: few of the initial weights fit the backbone resnet50: are they for another architecture?"


def test_weights_that_fit_nowhere_are_refused(tmp_path: Path) -> None:
    save_file(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "resnet18.safetensors")
    said = refusal(tmp_path / "resnet18.safetensors", plans({"tags": (TAGS, THREE)}), backbone={"name": "mobilenet_v3_small"})
    assert "none of the 122 tensors in resnet18.safetensors fits this network by name and shape; its first is " in said
    assert "the network's is backbone.features.0.0.weight [16, 3, 3, 3]" in said
    assert "(mobilenet_v3_small)" in said


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    tensors = torchvision.models.resnet18(weights=None).state_dict()
    for name in ("layer1.0.conv1.weight", "layer3.0.conv1.weight"):
        tensors[name] = tensors[name].double()
        tensors[name][5, 0, 0, 0] = value
    save_file(tensors, tmp_path / "resnet18.safetensors")
    assert refusal(tmp_path / "resnet18.safetensors", []) == (
        "initialWeights: resnet18.safetensors: layer1.0.conv1.weight has values that are not finite (NaN, infinite, or beyond "
        "torch.float32): use weights from a training that did not diverge"
    )


def test_an_earlier_job_that_diverged_is_refused(tmp_path: Path) -> None:
    heads = plans({"tags": (TAGS, THREE)})
    path, tensors = exported(tmp_path, heads)
    last = [name for name in tensors if name.startswith("head-tags.")][-1]
    tensors[last].fill_(float("nan"))
    save_file(tensors, path / "model.safetensors")
    assert f"initialWeights: model.safetensors: {last} has values that are not finite" in refusal(path, heads)


def test_unused_weights_need_not_be_finite(tmp_path: Path) -> None:
    tensors = torchvision.models.resnet18(weights=None).state_dict()
    tensors["fc.weight"].fill_(float("nan"))
    save_file(tensors, tmp_path / "resnet18.safetensors")
    _, got, _ = load(tmp_path / "resnet18.safetensors", [])
    assert torch.equal(got["backbone.conv1.weight"], tensors["conv1.weight"])


def test_a_failing_disk_is_not_blamed_on_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BadModel would end the job for good, but the disk may be fixed by the next attempt."""

    def fail(file: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(file))

    (tmp_path / "a.safetensors").write_bytes(b"")
    monkeypatch.setattr("headrace_trainer.worker.initial_weights.load_file", fail)
    with pytest.raises(OSError, match="Input/output error"):
        load(tmp_path / "a.safetensors", [])


def test_unreadable_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"not at all")
    assert "a.safetensors cannot be read as weights" in refusal(tmp_path / "a.safetensors", [])
    # Read as a pickle, each of these fails in its own way.
    for content in (b"not at all", b"hello there", b"", b"PK\x03\x04 cut off"):
        (tmp_path / "a.pth").write_bytes(content)
        assert "a.pth cannot be read as weights" in refusal(tmp_path / "a.pth", [])
    torch.save({"epoch": 3}, tmp_path / "b.pth")
    assert "b.pth is not a dict of tensors by name" in refusal(tmp_path / "b.pth", [])
    path, _ = exported(tmp_path, plans({"tags": (TAGS, THREE)}))
    (path / "config.json").write_text(json.dumps({"version": 1}))
    assert "config.json was not written by a job" in refusal(path, [])


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("went-off"),))


def test_a_pickle_executes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": _Bomb()}, tmp_path / "a.pth")
    assert "it was not written by torch.save, is truncated, or holds more than tensors" in refusal(tmp_path / "a.pth", [])
    assert not (tmp_path / "went-off").exists()
