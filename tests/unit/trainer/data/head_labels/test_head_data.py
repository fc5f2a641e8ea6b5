"""What heads' numbers mean, derived from layers as readers return them."""

from collections.abc import Mapping

import numpy as np
import pytest

from headrace_api.dataset import Layer
from headrace_api.errors import FatalError
from headrace_api.heads import Head
from headrace_api.names import Reason
from headrace_api.tasks import Task, conversion_path
from headrace_trainer.data.annotations import Annotation, AnomalyLabel, TextLabel, ValueList
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.annotations.keypoint_table import KeypointTable
from headrace_trainer.data.head_labels.head_data import head_data
from headrace_trainer.data.layer_data import LayerData
from headrace_trainer.data.problems import Problems
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.resolve import ResolvedHead
from headrace_trainer.tasks import describe

NO_CLASSES = ClassTable((), ())
FORMATS = {Task.PANOPTIC_SEGMENTATION: "coco-panoptic", Task.KEYPOINT_DETECTION: "coco", Task.OBJECT_DETECTION: "coco"}


def labels_of(source: Task, target: Task, data: LayerData, train: Mapping[str, Annotation] | None = None) -> LabelSpace:
    """The label space of a `target` head on a layer of `source`."""
    layer = Layer.model_validate(
        {"name": "layer", "task": source, "format": FORMATS.get(source, "csv"), "splits": {"train": "train"}}
    )
    spec = Head.model_validate({"name": "head", "annotations": "layer", target.name.lower(): {}})
    path = conversion_path(source, target)
    assert path is not None
    return head_data(ResolvedHead(spec, layer, path), data, train or {}).labels


def test_classes_keep_what_counts_as_a_thing_along_the_path() -> None:
    data = LayerData(ClassTable(("grass", "cat", "dog"), (1, 2, 3), (False, True, True)), {})
    panoptic = labels_of(Task.PANOPTIC_SEGMENTATION, Task.PANOPTIC_SEGMENTATION, data)
    assert panoptic == LabelSpace(classes=("grass", "cat", "dog"), things=(False, True, True))
    assert labels_of(Task.PANOPTIC_SEGMENTATION, Task.QUADRILATERAL_DETECTION, data).classes == ("cat", "dog")
    assert labels_of(Task.PANOPTIC_SEGMENTATION, Task.AUTOENCODING, data) == LabelSpace()


def test_a_head_that_names_no_layer_has_no_labels() -> None:
    spec = Head.model_validate({"name": "views", "viewInvariance": {}})
    made = head_data(ResolvedHead(spec, None, (Task.VIEW_INVARIANCE,)), None, {})
    assert made.labels == LabelSpace()
    assert not made.reads_annotations


def test_keypoints_come_from_the_layer_and_stay_with_its_task() -> None:
    table = KeypointTable.of(["left", "right"], skeleton=[[0, 1]])
    data = LayerData(ClassTable.of({1: "cat"}), {}, keypoints=table)
    assert labels_of(Task.KEYPOINT_DETECTION, Task.KEYPOINT_DETECTION, data) == LabelSpace(
        classes=("cat",),
        things=(True,),
        keypoints=("left", "right"),
        mirrored=(1, 0),
        skeleton=((0, 1),),
        sigmas=(0.05, 0.05),
    )
    assert not labels_of(Task.KEYPOINT_DETECTION, Task.OBJECT_DETECTION, data).keypoints


def values(*rows: tuple[float, ...]) -> dict[str, Annotation]:
    return {f"{number}.png": ValueList(np.array(row, np.float32)) for number, row in enumerate(rows)}


def test_values_have_the_mean_and_deviation_of_the_known_ones() -> None:
    nan = float("nan")
    data = LayerData(NO_CLASSES, {}, values=("angle", "count"))
    labels = labels_of(Task.REGRESSION, Task.REGRESSION, data, values((1, 7), (nan, 7), (3, 7), (5, nan)))
    assert labels.values == ("angle", "count")
    assert labels.means == (3.0, 7.0)
    assert labels.deviations == (pytest.approx(np.std([1, 3, 5])), 1.0), "a constant value is not divided by zero"


def test_a_value_that_is_unknown_for_every_image_is_refused() -> None:
    data = LayerData(NO_CLASSES, {}, values=("angle", "count"))
    problem = "head 'head': layer 'layer': none of 1 image to train on has a number for: count; add some to its files, or list"
    with pytest.raises(FatalError, match=problem) as caught:
        labels_of(Task.REGRESSION, Task.REGRESSION, data, values((1, float("nan"))))
    assert caught.value.reason is Reason.BAD_DATASET


def texts(**by_image: str) -> dict[str, Annotation]:
    return {image: TextLabel(text) for image, text in by_image.items()}


def test_the_alphabet_has_the_characters_of_all_splits() -> None:
    data = LayerData(NO_CLASSES, {"train": texts(a="ba"), "val": texts(v="c a")})
    readable = describe(Task.TEXT_RECOGNITION).learnable(data, Problems(0, lambda _: None))
    assert labels_of(Task.TEXT_RECOGNITION, Task.TEXT_RECOGNITION, readable) == LabelSpace(alphabet=" abc")


def test_texts_with_characters_outside_a_given_alphabet_are_bad_and_left_out() -> None:
    said: list[str] = []
    data = LayerData(NO_CLASSES, {"train": texts(a="ba", b="bäö"), "val": texts(v="ab")}, alphabet="ab")
    readable = describe(Task.TEXT_RECOGNITION).learnable(data, Problems(1, said.append))
    assert {split: set(images) for split, images in readable.splits.items()} == {"train": {"a"}, "val": {"v"}}
    assert said == ["skipped b: the text 'bäö' has characters that are not in the alphabet: ä ö"]
    with pytest.raises(FatalError, match="not in the alphabet") as caught:
        describe(Task.TEXT_RECOGNITION).learnable(data, Problems(0, said.append))
    assert caught.value.reason is Reason.TOO_MANY_BAD_IMAGES


def test_anomalous_images_are_not_trained_on_and_are_counted() -> None:
    problems = Problems(0, lambda _: None)
    images: dict[str, Annotation] = {"good": AnomalyLabel(False), "bad": AnomalyLabel(True)}
    data = describe(Task.ANOMALY_DETECTION).learnable(LayerData(NO_CLASSES, {"train": images, "val": images}), problems)
    assert {split: set(names) for split, names in data.splits.items()} == {"train": {"good"}, "val": {"good", "bad"}}
    assert problems.summary() == ["1 anomalous images left out of the train split: heads learn what is normal"]
