"""Object detection: boxes and their classes.

Targets of a batch (B images, N objects, padded; coordinates in pixels of the network's input):

    boxes      float32 [B, N, 4]  xyxy, half-open
    classes    int64   [B, N]
    valid      bool    [B, N]     False is padding
    crowd      bool    [B, N]     True: a group; not learnt from, and ignored by the metric, as in COCO
    beyond     float32 [B, I, 4]  in training, if an image has more than N objects: boxes of the others, to be ignored; zeros are
                                  padding
"""

from typing import Final

from headrace_api.tasks import Task
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.targets import Boxes, Instances, Keypoints, Quads
from headrace_trainer.tasks.description import (
    Conversion,
    Counted,
    TaskDescription,
    classes_alone,
    learns_from_all,
    no_obstacle,
    no_warnings,
    same_classes,
)
from headrace_trainer.tasks.objects import MOST_BOXES, box_fields, box_rows, tight_boxes


def from_instances(target: Instances, _: ClassTable) -> Boxes:
    """The tight half-open box of each mask; its edges are pixel edges."""
    return Boxes(tight_boxes(target.masks), target.classes, target.crowd)


def from_keypoints(target: Keypoints, _: ClassTable) -> Boxes:
    """The annotated boxes, including those of objects without a labelled keypoint."""
    return Boxes(target.boxes, target.classes, target.crowd)


def from_quads(target: Quads, _: ClassTable) -> Boxes:
    """The tight box around the visible part of each."""
    return Boxes(target.bounds, target.classes, target.crowd)


DESCRIPTION: Final = TaskDescription[Boxes](
    counted=Counted("objects", negatives=True, most_learnt=MOST_BOXES),
    layout=box_fields,
    rows=box_rows,
    shows_pixels=False,
    made_from={
        Task.INSTANCE_SEGMENTATION: Conversion(from_instances, same_classes),
        Task.KEYPOINT_DETECTION: Conversion(from_keypoints, same_classes),
        Task.QUADRILATERAL_DETECTION: Conversion(from_quads, same_classes),
    },
    one_label=False,
    label_space=classes_alone,
    learnable=learns_from_all,
    obstacle=no_obstacle,
    warnings=no_warnings,
    new_classes_in_val=False,
    reads_text=False,
    table=None,
)
