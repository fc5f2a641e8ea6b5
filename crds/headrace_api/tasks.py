"""Tasks, and which annotations can serve which task: one table, in which we search the shortest path.

Why a graph: docs/decisions/0009-dataset-contract.md.
"""

from collections import deque
from enum import StrEnum


class Task(StrEnum):
    """What a layer of annotations holds, and what a head learns."""

    PANOPTIC_SEGMENTATION = "panoptic-segmentation"
    INSTANCE_SEGMENTATION = "instance-segmentation"
    SEMANTIC_SEGMENTATION = "semantic-segmentation"
    KEYPOINT_DETECTION = "keypoint-detection"
    QUADRILATERAL_DETECTION = "quadrilateral-detection"
    OBJECT_DETECTION = "object-detection"
    MULTILABEL_CLASSIFICATION = "multilabel-classification"
    MULTICLASS_CLASSIFICATION = "multiclass-classification"
    METRIC_LEARNING = "metric-learning"
    REGRESSION = "regression"
    DEPTH_ESTIMATION = "depth-estimation"
    ANOMALY_DETECTION = "anomaly-detection"
    TEXT_RECOGNITION = "text-recognition"
    AUTOENCODING = "autoencoding"
    VIEW_INVARIANCE = "view-invariance"

    @property
    def words(self) -> str:
        """The name for people: "object detection"."""
        return self.value.replace("-", " ")

    @property
    def self_supervised(self) -> bool:
        """Whether it learns from images alone."""
        return self in SELF_SUPERVISED


SELF_SUPERVISED = (Task.AUTOENCODING, Task.VIEW_INVARIANCE)

_BETWEEN_ANNOTATIONS: dict[Task, tuple[Task, ...]] = {
    Task.PANOPTIC_SEGMENTATION: (Task.SEMANTIC_SEGMENTATION, Task.INSTANCE_SEGMENTATION),
    Task.INSTANCE_SEGMENTATION: (Task.OBJECT_DETECTION,),
    Task.SEMANTIC_SEGMENTATION: (Task.MULTILABEL_CLASSIFICATION,),
    Task.KEYPOINT_DETECTION: (Task.OBJECT_DETECTION,),
    Task.QUADRILATERAL_DETECTION: (Task.OBJECT_DETECTION,),
    Task.OBJECT_DETECTION: (Task.MULTILABEL_CLASSIFICATION, Task.QUADRILATERAL_DETECTION),
    Task.MULTICLASS_CLASSIFICATION: (Task.MULTILABEL_CLASSIFICATION, Task.METRIC_LEARNING),
    Task.METRIC_LEARNING: (Task.MULTICLASS_CLASSIFICATION,),
}

CONVERSIONS: dict[Task, tuple[Task, ...]] = {
    task: (*_BETWEEN_ANNOTATIONS.get(task, ()), *(target for target in SELF_SUPERVISED if target is not task)) for task in Task
}
"""Direct conversions; every task's images serve the self-supervised ones. Longer conversions are paths through this graph."""


def conversion_path(source: Task, target: Task) -> tuple[Task, ...] | None:
    """Tasks from `source` to `target`, both included, by the fewest conversions; None if there is no path.

    Among paths of equal length, the one whose first differing step comes earlier in `CONVERSIONS` wins, so the answer is always
    the same.
    """
    paths: deque[tuple[Task, ...]] = deque([(source,)])
    seen = {source}
    while paths:
        path = paths.popleft()
        if path[-1] is target:
            return path
        for step in CONVERSIONS[path[-1]]:
            if step not in seen:
                seen.add(step)
                paths.append((*path, step))
    return None


def reachable(source: Task) -> tuple[Task, ...]:
    """Every task that annotations of `source` can serve, itself first, then in the order of `Task`."""
    return (source, *(task for task in Task if task is not source and conversion_path(source, task)))
