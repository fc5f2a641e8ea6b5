"""What is annotated, in the form of predictions, so that heads draw it as they draw what they see."""

from collections.abc import Callable, Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from headrace_api.tasks import Task
from headrace_trainer.heads.base import IGNORE, Head, Predictions, Targets

_Make = Callable[[Head, Targets, Predictions], dict[str, Tensor]]


def truth_as_predictions(head: Head, targets: Targets, predictions: Predictions) -> Predictions | None:
    """The targets of a batch as predictions that are certain of them; None for tasks whose labels are nothing to look at.

    Where nobody knows the truth of a pixel, it is as predicted. All on one device.
    """
    make = _TRUTHS.get(head.task)
    return None if make is None else make(head, targets, predictions)


def _certain(flags: Tensor) -> Tensor:
    return flags.float()


def _objects(*names: str) -> _Make:
    """Objects that are learnt from, with what `names` says of them."""

    def make(_: Head, targets: Targets, __: Predictions) -> dict[str, Tensor]:
        shown = targets["valid"] & ~targets["crowd"]
        return {"valid": shown, "scores": _certain(shown), "classes": targets["classes"], **{name: targets[name] for name in names}}

    return make


def _keypoints(head: Head, targets: Targets, predictions: Predictions) -> dict[str, Tensor]:
    objects = _objects("boxes", "keypoints")(head, targets, predictions)
    return {**objects, "keypoint_scores": _certain(targets["visibility"] > 0)}


def _segments(_: Head, targets: Targets, __: Predictions) -> dict[str, Tensor]:
    return {**{name: targets[name] for name in ("segments", "classes", "valid")}, "scores": _certain(targets["valid"])}


def _class_map(_: Head, targets: Targets, predictions: Predictions) -> dict[str, Tensor]:
    return {"map": torch.where(targets["map"] == IGNORE, predictions["map"], targets["map"])}


def _labels(_: Head, targets: Targets, __: Predictions) -> dict[str, Tensor]:
    return {"scores": targets["labels"]}


def _label(head: Head, targets: Targets, __: Predictions) -> dict[str, Tensor]:
    return {"probabilities": F.one_hot(targets["label"], len(head.classes)).float()}


def _values(_: Head, targets: Targets, __: Predictions) -> dict[str, Tensor]:
    return {"values": torch.where(targets["known"], targets["values"], torch.nan)}


def _depth(_: Head, targets: Targets, predictions: Predictions) -> dict[str, Tensor]:
    return {"depth": torch.where(targets["known"], targets["depth"], predictions["depth"])}


def _anomaly(_: Head, targets: Targets, predictions: Predictions) -> dict[str, Tensor]:
    known = targets["has_mask"][:, None, None]
    return {"scores": _certain(targets["anomalous"]), "map": torch.where(known, _certain(targets["mask"]), predictions["map"])}


def _text(_: Head, targets: Targets, __: Predictions) -> dict[str, Tensor]:
    return {"text": targets["text"], "scores": torch.ones(len(targets["text"]))}


_TRUTHS: Final[Mapping[Task, _Make]] = {
    Task.PANOPTIC_SEGMENTATION: _segments,
    Task.INSTANCE_SEGMENTATION: _objects("boxes", "masks"),
    Task.SEMANTIC_SEGMENTATION: _class_map,
    Task.KEYPOINT_DETECTION: _keypoints,
    Task.QUADRILATERAL_DETECTION: _objects("quads"),
    Task.OBJECT_DETECTION: _objects("boxes"),
    Task.MULTILABEL_CLASSIFICATION: _labels,
    Task.MULTICLASS_CLASSIFICATION: _label,
    Task.REGRESSION: _values,
    Task.DEPTH_ESTIMATION: _depth,
    Task.ANOMALY_DETECTION: _anomaly,
    Task.TEXT_RECOGNITION: _text,
}
"""Not there: metric learning, whose identities are in no image, and what is learnt without labels."""
