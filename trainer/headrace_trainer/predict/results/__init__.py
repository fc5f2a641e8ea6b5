"""One table of how each task's predictions are written to files, which heads know nothing about."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from headrace_api.tasks import Task
from headrace_trainer.heads.base import Head
from headrace_trainer.predict.results.base import Image, Results
from headrace_trainer.predict.results.maps import ClassMapResults, DepthResults, PanopticResults, PictureResults
from headrace_trainer.predict.results.objects import ObjectResults, box, box_and_keypoints, box_and_mask, quad
from headrace_trainer.predict.results.tables import AnomalyResults, LabelResults, LabelSetResults, TextResults, ValueResults
from headrace_trainer.predict.results.vectors import VectorResults

__all__ = ["RESULTS", "Image", "Results"]

RESULTS: Final[Mapping[Task, Callable[[Path, Head, float], Results]]] = {
    Task.PANOPTIC_SEGMENTATION: PanopticResults,
    Task.INSTANCE_SEGMENTATION: partial(ObjectResults, shape=box_and_mask),
    Task.SEMANTIC_SEGMENTATION: ClassMapResults,
    Task.KEYPOINT_DETECTION: partial(ObjectResults, shape=box_and_keypoints),
    Task.QUADRILATERAL_DETECTION: partial(ObjectResults, shape=quad),
    Task.OBJECT_DETECTION: partial(ObjectResults, shape=box),
    Task.MULTILABEL_CLASSIFICATION: LabelSetResults,
    Task.MULTICLASS_CLASSIFICATION: LabelResults,
    Task.METRIC_LEARNING: partial(VectorResults, name="embeddings"),
    Task.REGRESSION: ValueResults,
    Task.DEPTH_ESTIMATION: DepthResults,
    Task.ANOMALY_DETECTION: AnomalyResults,
    Task.TEXT_RECOGNITION: TextResults,
    Task.AUTOENCODING: PictureResults,
    Task.VIEW_INVARIANCE: partial(VectorResults, name="features"),
}
"""(folder for the head's files, the head, minimum score of an object) -> results. Each class documents its files."""
