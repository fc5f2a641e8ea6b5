"""What heads' numbers mean, from what their layers hold; and what is left out of a layer before anything is learnt from it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_trainer.counted import counted
from headrace_trainer.data.annotations import Annotation, TextLabel, ValueList
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.head_labels.convert import classes_along
from headrace_trainer.data.head_labels.head_data import HeadData
from headrace_trainer.data.layer_data import LayerData
from headrace_trainer.data.problems import Problems
from headrace_trainer.data.targets import Array
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.resolve import ResolvedHead

_NAMED_CHARACTERS = 8


def learnable(task: Task, layer: LayerData, problems: Problems) -> LayerData:
    """`layer`, which holds `task`, without what cannot be learnt from.

    Of anomaly detection's train split the anomalous images, since it learns what is normal; of texts those with characters that
    dataset.json does not have, which count as bad.
    """
    if task is Task.ANOMALY_DETECTION:
        return _without_anomalies(layer, problems)
    if task is Task.TEXT_RECOGNITION:
        return _readable(layer, problems)
    return layer


def head_data(head: ResolvedHead, layer: LayerData | None, train: Mapping[str, Annotation]) -> HeadData:
    """A head with its label space; `train` is what its layer has for the images to train on.

    Raises FatalError(BAD_DATASET) where a value of regression is not known of any of these.
    """
    if head.layer is None or layer is None:
        return HeadData(head.spec, None, ClassTable((), ()), head.path, LabelSpace())
    if head.spec.task is Task.REGRESSION and (problem := never_known(head.layer.name, layer, train)) is not None:
        raise FatalError(Reason.BAD_DATASET, f"head '{head.spec.name}': {problem}")
    kept = classes_along(head.path, layer.classes)
    labels = LabelSpace(classes=kept.names, things=kept.things, **_OF_TASK.get(head.spec.task, _nothing)(layer, train))
    return HeadData(head.spec, head.layer.name, layer.classes, head.path, labels)


def never_known(name: str, layer: LayerData, train: Mapping[str, Annotation]) -> str | None:
    """What is wrong with the layer `name` of regression if a value of it is not known of any image to train on; else None.

    Where there is no image at all, that is another problem.
    """
    known = np.isfinite(_table_of(layer, train))
    missing = [value for value, column in zip(layer.values, known.T, strict=True) if not column.any()]
    if not train or not missing:
        return None
    return (
        f"layer '{name}': none of {counted(len(train), 'images')} to train on has a number for: {', '.join(missing)}; write some "
        "into its files, or give the layer `values` in dataset.json without it"
    )


def _without_anomalies(layer: LayerData, problems: Problems) -> LayerData:
    train = layer.splits.get("train", {})
    normal = {image: annotation for image, annotation in train.items() if not annotation.objects}
    problems.mended("anomalous images of a train split left out: what is normal is learnt", len(train) - len(normal))
    return replace(layer, splits={**layer.splits, "train": normal})


def _readable(layer: LayerData, problems: Problems) -> LayerData:
    texts = {image: _text(annotation) for by_image in layer.splits.values() for image, annotation in by_image.items()}
    if layer.alphabet is None:
        return replace(layer, alphabet="".join(sorted(set().union(*texts.values()))))
    strange = {image: missing for image, text in texts.items() if (missing := sorted(set(text) - set(layer.alphabet)))}
    for image, missing in strange.items():
        shown = " ".join(missing[:_NAMED_CHARACTERS])
        problems.bad(image, f"the text '{texts[image]}' has characters that are not in the alphabet: {shown}")
    splits = {
        split: {image: annotation for image, annotation in by_image.items() if image not in strange}
        for split, by_image in layer.splits.items()
    }
    return replace(layer, splits=splits)


def _text(annotation: Annotation) -> str:
    assert isinstance(annotation, TextLabel), "what readers make of a layer of texts"
    return annotation.text


def _nothing(_: LayerData, __: Mapping[str, Annotation]) -> dict[str, Any]:
    return {}


def _keypoints(layer: LayerData, _: Mapping[str, Annotation]) -> dict[str, Any]:
    table = layer.keypoints
    if table is None:
        return {}
    return {"keypoints": table.names, "mirrored": table.mirrored, "skeleton": table.skeleton, "sigmas": table.sigmas}


def _values(layer: LayerData, train: Mapping[str, Annotation]) -> dict[str, Any]:
    """Means and deviations are summed in the order of images' names, so that they are the same to the last bit on every machine."""
    table = _table_of(layer, train)
    if not len(table):
        return {"values": layer.values}  # `checks` refuses a head without labels, and says why there are none
    deviations = np.nanstd(table, axis=0)
    return {
        "values": layer.values,
        "means": tuple(np.nanmean(table, axis=0).tolist()),
        "deviations": tuple(np.where(deviations > 0, deviations, 1.0).tolist()),
    }


def _table_of(layer: LayerData, train: Mapping[str, Annotation]) -> Array:
    """[images, D], sorted by the images' names; NaN where not known."""
    return np.array([_numbers(train[image]) for image in sorted(train)], np.float64).reshape(-1, len(layer.values))


def _numbers(annotation: Annotation) -> Array:
    assert isinstance(annotation, ValueList), "what readers make of a layer of values"
    return annotation.values


def _alphabet(layer: LayerData, _: Mapping[str, Annotation]) -> dict[str, Any]:
    return {"alphabet": layer.alphabet or ""}


_OF_TASK = {Task.KEYPOINT_DETECTION: _keypoints, Task.REGRESSION: _values, Task.TEXT_RECOGNITION: _alphabet}
"""Parts of the label space that the heads of a task have besides classes."""
