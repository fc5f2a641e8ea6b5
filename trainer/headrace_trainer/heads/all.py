"""Imports every head, so that the registry is whole."""

from headrace_trainer.heads import (
    anomaly_detection,
    autoencoding,
    depth_estimation,
    instance_segmentation,
    metric_learning,
    multiclass_classification,
    multilabel_classification,
    object_detection,
    panoptic_segmentation,
    regression,
    semantic_segmentation,
    text_recognition,
    view_invariance,
)

__all__ = [
    "anomaly_detection",
    "autoencoding",
    "depth_estimation",
    "instance_segmentation",
    "metric_learning",
    "multiclass_classification",
    "multilabel_classification",
    "object_detection",
    "panoptic_segmentation",
    "regression",
    "semantic_segmentation",
    "text_recognition",
    "view_invariance",
]
