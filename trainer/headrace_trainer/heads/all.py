"""Imports every head, so that the registry is whole."""

from headrace_trainer.heads import (
    multiclass_classification,
    multilabel_classification,
    object_detection,
    semantic_segmentation,
)

__all__ = ["multiclass_classification", "multilabel_classification", "object_detection", "semantic_segmentation"]
