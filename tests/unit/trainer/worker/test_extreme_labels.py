"""Labels that no unit explains are named."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headrace_api.model import Network
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.data.dataset import Dataset, open_dataset
from headrace_trainer.worker.extreme_labels import NotFiniteError, extreme_labels, far_values


@pytest.fixture
def sizes(tmp_path: Path) -> Dataset:
    """Twelve images; the size of 3.png is 1e30, the others are 0 to 5.5."""
    (tmp_path / "images").mkdir()
    with (tmp_path / "sizes.csv").open("w") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "size"])
        for number in range(12):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"images/{number}.png")
            rows.writerow([f"images/{number}.png", "1e30" if number == 3 else str(number / 2)])
    layer = {"name": "sizes", "task": "regression", "format": "csv", "splits": {"all": "sizes.csv"}}
    (tmp_path / "dataset.json").write_text(json.dumps({"version": 1, "layers": [layer]}))
    network = Network.model_validate(
        {"backbone": {"name": "resnet18"}, "heads": [{"name": "size", "annotations": "sizes", "regression": {}}]}
    )
    return open_dataset(tmp_path, network, 0, lambda _: None)


def batch(values: list[float], labelled: list[bool]) -> Batch:
    targets = {"size": {"values": torch.tensor(values)[:, None], "known": torch.ones(len(values), 1, dtype=torch.bool)}}
    names = [f"images/{number}.png" for number in range(len(values))]
    return Batch(torch.zeros(len(values), 3, 1, 1, dtype=torch.uint8), targets, {"size": torch.tensor(labelled)}, names)


def test_the_layer_the_image_and_the_value_are_named(sizes: Dataset) -> None:
    said = extreme_labels(batch([1.0, 1e30, -3e13], [True, True, True]), sizes.heads)
    assert said == "the value 1e+30 in layer 'sizes' for images/1.png, the value 3e+13 in layer 'sizes' for images/2.png"


def test_ordinary_labels_and_unlabelled_images_are_not_blamed(sizes: Dataset) -> None:
    assert extreme_labels(batch([1.0, 2e6, 1e30], [True, True, False]), sizes.heads) == ""


def test_what_is_not_a_number_is_blamed(sizes: Dataset) -> None:
    assert "the value nan" in extreme_labels(batch([1.0, float("nan")], [True, True]), sizes.heads)


def test_blaming_a_label_takes_the_place_of_other_advice() -> None:
    error = NotFiniteError("the loss of head 'size' is not finite at iteration 3", 3, "a lower learning rate may help")
    assert error.message == "the loss of head 'size' is not finite at iteration 3; a lower learning rate may help"
    blamed = error.blaming("the value 1e+30 in layer 'sizes' for images/1.png").message
    assert "because of the value 1e+30 in layer 'sizes' for images/1.png: correct or remove the label" in blamed
    assert "learning rate" not in blamed


def test_a_value_far_from_all_others_is_warned_about(sizes: Dataset) -> None:
    said: list[str] = []
    far_values(sizes, said.append)
    if "images/3.png" in sizes.train.images:
        assert len(said) == 1
        assert "layer 'sizes' has size = 1e+30 for images/3.png" in said[0]
    else:
        pytest.fail("the split has moved: give another image the value")
