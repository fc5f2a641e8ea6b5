import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from headrace_api import model
from headrace_api.training import ImageSize
from headrace_testing.steps import HEADS, LABELS, small_network
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.build import HeadPlan, build_network
from headrace_trainer.worker.evaluate import Scores
from headrace_trainer.worker.export import export_model

SPEC = model.Network(backbone=model.Backbone(name="resnet18", top_level=2))
SCORES = Scores({"tags": {"mAP": 0.5, "macroF1": float("nan")}, "kind": {"top1": 0.25}}, {})

CARD = "# A model\n"


def export(output: Path, seed: int = 0) -> Path:
    return output / export_model(
        output,
        network=small_network(seed),
        spec=SPEC,
        heads=HEADS,
        image_size=ImageSize(height=32, width=64),
        iteration=7,
        scores=SCORES,
        card=CARD,
    )


def test_the_exported_folder_alone_rebuilds_the_network(tmp_path: Path) -> None:
    folder = export(tmp_path)
    assert folder == tmp_path / "model"
    config = json.loads((folder / "config.json").read_text())
    spec = model.Network.model_validate(config["network"])
    heads = [HeadPlan(head, LabelSpace.from_json(config["labels"][head.name])) for head in spec.heads]
    network = build_network(spec, heads)
    network.load_state_dict(load_file(folder / "model.safetensors"))
    images = torch.randn(1, 3, 32, 64)
    with torch.no_grad():
        got, want = network.eval()(images), small_network().eval()(images)
    for head in ("tags", "kind"):
        torch.testing.assert_close(got[head]["logits"], want[head]["logits"])
    assert config["imageSize"] == {"height": 32, "width": 64}
    assert LabelSpace.from_json(config["labels"]["tags"]) == LABELS


def test_scores_that_are_not_numbers_are_left_out(tmp_path: Path) -> None:
    metrics = json.loads((export(tmp_path) / "metrics.json").read_text())
    assert metrics == {"iteration": 7, "heads": {"tags": {"mAP": 0.5}, "kind": {"top1": 0.25}}}


def test_the_model_card_lies_beside_the_weights(tmp_path: Path) -> None:
    assert (export(tmp_path) / "README.md").read_text() == CARD


def test_a_new_export_replaces_the_old_one(tmp_path: Path) -> None:
    export(tmp_path, seed=0)
    folder = export(tmp_path, seed=1)
    weights = load_file(folder / "model.safetensors")
    assert torch.equal(weights["backbone.conv1.weight"], small_network(seed=1).state_dict()["backbone.conv1.weight"])
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
