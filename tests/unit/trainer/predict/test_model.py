"""A `model/` folder becomes the network that was evaluated, or the error says what is wrong with it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_testing.trained_models import write_model
from headrace_trainer.ops.pixels import normalise
from headrace_trainer.predict.model import load_model

CPU = torch.device("cpu")
TASKS = (Task.OBJECT_DETECTION, Task.MULTICLASS_CLASSIFICATION)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path, TASKS)


def change(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


def test_it_predicts_what_its_network_predicts(folder: Path) -> None:
    model = load_model(folder, CPU)
    assert model.image_size == (64, 96)
    assert {name: head.task for name, head in model.heads.items()} == {task.value: task for task in TASKS}
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    found = model.predict(images)
    with torch.no_grad():
        outputs = model.network(normalise(images).contiguous(memory_format=torch.channels_last))
    for name, head in model.heads.items():
        for key, want in head.decode(outputs[name], (64, 96)).items():
            assert torch.equal(found[name][key], want), (name, key)
    assert not any(module.training for module in model.network.modules())


def test_a_run_folder_works_too(folder: Path) -> None:
    assert load_model(folder.parent, CPU).image_size == (64, 96)


def test_a_folder_without_a_model_is_refused_and_the_message_says_what_is_one(tmp_path: Path) -> None:
    for place, said in ((tmp_path / "nowhere", "there is no such folder"), (tmp_path, "it has no config.json")):
        with pytest.raises(FatalError, match=rf"is not a model: {said}; give the model/ folder of a run folder") as caught:
            load_model(place, CPU)
        assert caught.value.reason is Reason.BAD_MODEL


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"version": 2}, "has version 2; this version of Headrace reads version 1"),
        (
            {"network": {"backbone": {"name": "resnet18", "topLevel": 99}}},
            r"Headrace: network\.backbone\.topLevel: should be",
        ),
        ({"labels": {}}, "was not written by this version of Headrace"),
        ({"normalisation": {"mean": [0, 0, 0], "std": [1, 1, 1]}}, "has another image normalisation than this version"),
    ],
)
def test_a_config_of_another_kind_is_refused(folder: Path, fields: dict[str, Any], said: str) -> None:
    change(folder, **fields)
    with pytest.raises(FatalError, match=said):
        load_model(folder, CPU)


def test_weights_that_are_missing_or_of_another_network_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor for name, tensor in weights.items() if "linear" not in name}, folder / "model.safetensors")
    with pytest.raises(FatalError, match=r"does not hold the weights of the network in config\.json(.|\n)*linear"):
        load_model(folder, CPU)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FatalError, match=r"model\.safetensors does not hold the weights"):
        load_model(folder, CPU)
