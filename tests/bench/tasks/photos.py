"""Rows on real photographs, from random weights: the machine that measured them had no pretrained ones."""

from typing import Any

from tasks.datasets import Bccd, Coco128Learnt, CocoKeypointsLearnt, Icdar2015Learnt
from tasks.digits import head, network, training
from tasks.rows import Row


def _training(iterations: int, height: int, width: int, **more: Any) -> dict[str, Any]:
    of_photographs = {"batchSize": 8, "augmentation": {"horizontalFlip": True}, "optimizer": {"adamw": {"learningRate": 0.001}}}
    return training(iterations, height, width, **{**of_photographs, **more})


PHOTOS: tuple[Row, ...] = (
    Row(
        "photos/coco128-learnt",
        Coco128Learnt(images=8),
        network(
            [
                head("panopticSegmentation", "panoptic", "panoptic"),
                head("instanceSegmentation", "instances", "instances"),
                head("semanticSegmentation", "regions", "regions"),
                head("objectDetection", "boxes", "boxes"),
            ],
            bottom=3,
            top=5,
        ),
        _training(300, 160, 160),
    ),
    Row(
        "photos/bccd",
        Bccd(),
        network([head("objectDetection", "objects", "cells")], bottom=3, top=5),
        _training(600, 168, 224),
    ),
    Row(
        "photos/coco-keypoints-learnt",
        CocoKeypointsLearnt(images=8),
        network([head("keypointDetection", "people", "people")], bottom=3, top=5),
        _training(300, 192, 192),
    ),
    Row(
        "photos/icdar-learnt",
        Icdar2015Learnt(images=8),
        network([head("quadrilateralDetection", "texts", "texts")], bottom=2, top=5),
        _training(300, 216, 384),
    ),
)
