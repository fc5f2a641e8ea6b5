"""`make demo DATASET=folder`: what it makes of a folder before it starts a cluster."""

from pathlib import Path

import pytest

from headrace_api.trainingjob import TrainingJob
from headrace_local.demo.jobs import jobs_on_own_dataset
from headrace_local.demo.own_dataset import look_at
from headrace_local.demo.story import main
from headrace_testing.dataset_folder import DatasetFolder, coco

BOX = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}


def test_a_dataset_without_dataset_json_is_recognised_and_its_problems_are_reported(tmp_path: Path) -> None:
    folder = DatasetFolder(tmp_path).image("images/a.png").image("images/v.png")
    folder.json("instances_train.json", coco(["a.png", "gone.png"], [BOX])).json("instances_val.json", coco(["v.png"], [BOX]))
    own = look_at(tmp_path)
    assert own.heads == ()
    layer, problem = own.found
    assert layer == "layer 'instances': object-detection, images: 1 in train, 1 in val"
    assert problem.startswith("problem: layer 'instances': instances_train.json: gone.png: no image 'gone.png'")
    assert not TrainingJob.model_validate(jobs_on_own_dataset(own.heads)[0].manifest()).spec.model.heads


def test_images_alone_are_learnt_without_labels(tmp_path: Path) -> None:
    own = look_at(DatasetFolder(tmp_path).image("a.png").image("b.png").root)
    assert own.found == ("no labels: the network learns to reconstruct the images",)
    job = TrainingJob.model_validate(jobs_on_own_dataset(own.heads)[0].manifest())
    assert [head.task.value for head in job.spec.model.heads] == ["autoencoding"]


def test_an_ambiguous_dataset_ends_the_demo_before_it_starts_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = DatasetFolder(tmp_path).image("a.png").text("a.csv", "image,label\n").text("b.csv", "image,label\n")
    with pytest.raises(SystemExit):
        main(["--dataset", str(folder.root)])
    said = capsys.readouterr().err
    assert "can be read in several ways: the table a.csv; the table b.csv" in said
    assert f"`headrace dataset check {folder.root}` shows more" in said
