"""Real photographs with annotations in the wild: the counts and quirks that shared/data/README.md describes."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from headrace_testing.dataset_folder import DatasetFolder
from headrace_testing.shared_data import shared_data  # noqa: F401 - a fixture
from headrace_trainer.check.dataset import check_dataset
from headrace_trainer.data.annotations import Annotation, BoxList, KeypointList, QuadList
from headrace_trainer.data.dataset import Dataset
from headrace_trainer.data.splits.split import Split


def linked(root: Path, source: Path, *folders: str) -> DatasetFolder:
    """A dataset of links to these folders of a real one."""
    folder = DatasetFolder(root)
    for name in folders:
        folder.path(name).symlink_to(source / name)
    return folder


def of_layer(dataset: Dataset, split: Split) -> list[Annotation]:
    (layer,) = split.annotations
    return list(split.annotations[layer].values())


def class_counts(annotations: list[Annotation]) -> Counter[int]:
    return Counter(int(index) for one in annotations if isinstance(one, BoxList | KeypointList) for index in one.classes)


@pytest.fixture(scope="module")
def bccd(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:  # noqa: F811
    return linked(tmp_path_factory.mktemp("bccd"), shared_data / "bccd", "JPEGImages", "Annotations", "ImageSets")


def test_bccd_is_recognised_as_voc(bccd: DatasetFolder) -> None:
    dataset = bccd.open()
    assert (len(dataset.train), len(dataset.val)) == (205, 87)
    assert dataset.heads[0].labels.classes == ("Platelets", "RBC", "WBC")
    train, val = (class_counts(of_layer(dataset, split)) for split in (dataset.train, dataset.val))
    assert (train[0], train[2], val[0], val[2]) == (209, 214, 83, 87)
    (dropped,) = (int(line.split()[0]) for line in dataset.describe() if "boxes dropped" in line)
    assert (dropped, train[1] + val[1]) == (2, 2382 + 968 - 2)
    assert bccd.said == []


def test_bccd_is_read_except_for_two_boxes_without_area(bccd: DatasetFolder) -> None:
    folder = linked(bccd.root.parent / "all", bccd.root, "JPEGImages", "Annotations")
    dataset = folder.open()
    assert len(dataset.train) + len(dataset.val) == 364
    counts = class_counts(of_layer(dataset, dataset.train) + of_layer(dataset, dataset.val))
    assert counts == {0: 361, 1: 4155 - 2, 2: 372}
    assert "2 boxes dropped: no area inside their image" in dataset.describe()
    assert not any("clipped" in line for line in dataset.describe()), "corners are 1-based and none is outside"
    for image in ("BloodImage_00338", "BloodImage_00343"):
        split = dataset.train if f"JPEGImages/{image}.jpg" in dataset.train.images else dataset.val
        annotation = split.annotations["objects"][f"JPEGImages/{image}.jpg"]
        assert isinstance(annotation, BoxList)
        assert (annotation.boxes[:, 2:] - annotation.boxes[:, :2]).min() >= 15


@pytest.fixture(scope="module")
def people(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:  # noqa: F811
    source = shared_data / "coco_keypoints"
    return linked(tmp_path_factory.mktemp("people"), source, "train2017", "val2017", "annotations")


def test_coco_keypoints_are_recognised_and_counted(people: DatasetFolder) -> None:
    dataset = people.open()
    assert (len(dataset.train), len(dataset.val)) == (37, 39)
    found = {}
    for split in (dataset.train, dataset.val):
        lists = [one for one in of_layer(dataset, split) if isinstance(one, KeypointList)]
        visibility = np.concatenate([one.visibility for one in lists])
        crowd = np.concatenate([one.crowd for one in lists])
        labelled = int((visibility > 0).any(axis=1).sum())
        found[split.name] = (
            len(visibility),
            labelled,
            int(crowd.sum()),
            int((visibility == 2).sum()),
            int((visibility == 1).sum()),
        )
    assert found == {"train": (164, 86, 5, 698, 102), "val": (110, 68, 1, 560, 92)}
    labels = dataset.heads[0].labels
    assert len(labels.keypoints) == 17
    assert labels.keypoints[labels.mirrored[5]] == "right_shoulder"
    assert min(labels.sigmas) == 0.025, "COCO's own"
    assert people.said == []
    assert not any("outside" in line for line in dataset.describe())


@pytest.fixture(scope="module")
def texts(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:  # noqa: F811
    folder = linked(tmp_path_factory.mktemp("texts"), shared_data / "icdar2015_text", "images", "gt")
    return folder.layer("texts", "quadrilateral-detection", "icdar", {"all": "gt"})


def test_icdar_quadrilaterals_are_counted(texts: DatasetFolder) -> None:
    dataset = texts.open()
    assert len(dataset.train) + len(dataset.val) == 120
    lists = [one for split in (dataset.train, dataset.val) for one in of_layer(dataset, split) if isinstance(one, QuadList)]
    quads = np.concatenate([one.quads for one in lists])
    assert len(quads) == 1522
    assert sum(int(one.crowd.sum()) for one in lists) == 978
    steps = np.roll(quads, -1, axis=1) - quads
    assert int(((steps != 0).sum(axis=2) > 1).any(axis=1).sum()) == 1466, "not axis-aligned"
    assert (min(one.objects for one in lists), max(one.objects for one in lists)) == (1, 90)
    assert quads.min() >= 0
    assert (quads.max(axis=(0, 1)) <= (1280, 720)).all()
    assert texts.said == []
    assert not any("quadrilaterals" in line for line in dataset.problems.summary()), "all convex and clockwise"


def test_icdar_needs_no_dataset_json(shared_data: Path) -> None:  # noqa: F811
    report = check_dataset(shared_data / "icdar2015_text", "icdar", decode=False)
    assert (report.problems, report.notes) == ([], [])
    (layer,) = report.layers
    assert (layer.layer.format, layer.layer.splits) == ("icdar", {"all": "gt"})
    assert sum(split.objects for split in layer.splits.values()) == 1522


def test_the_dataset_json_suggested_for_coco128_reads_it(shared_data: Path, tmp_path: Path) -> None:  # noqa: F811
    names = "images", "object_detection", "instance_segmentation", "panoptic_segmentation", "semantic_segmentation"
    folder = linked(tmp_path, shared_data / "coco128", *names)
    unclear = check_dataset(folder.root, "coco128", decode=False)
    assert unclear.suggested
    assert unclear.problems[0].startswith("no dataset.json at the dataset's root, and its files can be read in several ways")
    assert unclear.manifest is not None
    assert unclear.manifest.images == "images"
    assert any(note.startswith("image files not used: semantic_segmentation/masks/train2017/") for note in unclear.notes)
    folder.text("dataset.json", unclear.manifest.model_dump_json(by_alias=True, exclude_unset=True))
    report = check_dataset(folder.root, "coco128", decode=False)
    orphans = {f"object_detection/labels/train2017/000000000{number}.txt" for number in (656, 659)}
    assert {problem.split(": ")[1] for problem in report.problems} == orphans
    assert {layer.layer.task.value: layer.splits["train"].objects for layer in report.layers} == {
        "object-detection": 929,
        "instance-segmentation": 746,
        "panoptic-segmentation": 1111,
    }
