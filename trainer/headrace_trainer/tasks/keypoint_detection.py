"""Keypoint detection: named points of each object, with its box and class.

Targets of a batch: those of object detection, plus (K keypoints)

    keypoints  float32 [B, N, K, 2]  x, y in pixels; meaningless where visibility is 0
    visibility int64   [B, N, K]     0 not labelled, or outside the crop; 1 labelled but hidden; 2 visible
    area       float32 [B, N]        of the whole object in square pixels, the scale of OKS

An object without a labelled keypoint counts for boxes, not for keypoints.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from headrace_api.dataset import Layer
from headrace_api.heads import HeadOptions
from headrace_trainer.data.annotations import Annotation, KeypointList
from headrace_trainer.data.layer_data import LayerData
from headrace_trainer.data.targets import Keypoints
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.tasks.description import Counted, Field, Shapes, TaskDescription, learns_from_all, no_obstacle
from headrace_trainer.tasks.objects import MOST_BOXES, box_fields, box_rows


def _layout(shapes: Shapes) -> Mapping[str, Field]:
    points = (shapes.most, len(shapes.labels.keypoints))
    return {
        **box_fields(shapes),
        "keypoints": Field((*points, 2), 0, "float32"),
        "visibility": Field(points, 0, "int64"),
        "area": Field((shapes.most,), 0, "float32"),
    }


def _label_space(labels: LabelSpace, layer: LayerData, _: Mapping[str, Annotation]) -> LabelSpace:
    table = layer.keypoints
    if table is None:
        return labels
    return replace(labels, keypoints=table.names, mirrored=table.mirrored, skeleton=table.skeleton, sigmas=table.sigmas)


def _warnings(_: HeadOptions, layer: Layer, __: LabelSpace, annotations: Sequence[Annotation]) -> Iterator[str]:
    if any(annotation.objects for annotation in annotations) and not any(map(_has_keypoint, annotations)):
        yield f"can learn only boxes: no object to train on in layer '{layer.name}' has a labelled keypoint"


def _has_keypoint(annotation: Annotation) -> bool:
    assert isinstance(annotation, KeypointList), "readers produce keypoint lists for a layer of keypoints"
    return bool((annotation.visibility > 0).any())


DESCRIPTION: Final = TaskDescription[Keypoints](
    counted=Counted("objects", negatives=True, most_learnt=MOST_BOXES),
    layout=_layout,
    rows=box_rows,
    shows_pixels=False,
    made_from={},
    one_label=False,
    label_space=_label_space,
    learnable=learns_from_all,
    obstacle=no_obstacle,
    warnings=_warnings,
    new_classes_in_val=False,
    reads_text=False,
    table=None,
)
