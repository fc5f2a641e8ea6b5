"""Imports every head to fill the registry."""

from headrace_trainer.heads import (
    anomaly_detection,
    autoencoding,
    depth_estimation,
    instance_segmentation,
    keypoint_detection,
    metric_learning,
    multiclass_classification,
    multilabel_classification,
    object_detection,
    panoptic_segmentation,
    quadrilateral_detection,
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
    "keypoint_detection",
    "metric_learning",
    "multiclass_classification",
    "multilabel_classification",
    "object_detection",
    "panoptic_segmentation",
    "quadrilateral_detection",
    "regression",
    "semantic_segmentation",
    "text_recognition",
    "view_invariance",
]
