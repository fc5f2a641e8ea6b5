"""Named points of objects."""

from dataclasses import dataclass

import numpy as np

from headrace_trainer.data.annotations.base import ObjectAnnotation, check_size, unit
from headrace_trainer.data.annotations.keypoint_table import KeypointTable
from headrace_trainer.data.targets import Array, Keypoints
from headrace_trainer.data.targets.geometry import Geometry


@dataclass(frozen=True)
class KeypointList(ObjectAnnotation):
    """Objects of one image, each with a box and the K keypoints of `table`."""

    table: KeypointTable
    boxes: Array
    """float32 [n, 4] xyxy"""
    keypoints: Array
    """float32 [n, K, 2] (x, y): continuous, the centre of the first pixel is at 0.5; meaningless where visibility is 0"""
    visibility: Array
    """int64 [n, K]: 0 not labelled, 1 labelled but hidden, 2 visible"""
    area: Array
    """float32 [n]: of the object (in COCO, of its mask), in square pixels or as a fraction of the image's"""
    normalised: bool
    """Coordinates and areas are fractions of the image's, else pixels."""

    def render(self, geometry: Geometry) -> Keypoints:
        check_size(self.size, geometry, self.where)
        sides = unit(geometry) if self.normalised else np.ones(4, np.float32)
        boxes, enough = geometry.place_boxes(self.boxes * sides)
        points = geometry.place_points((self.keypoints * sides[:2]).reshape(-1, 2)).reshape(self.keypoints.shape)
        visibility = np.where(geometry.shows(points), self.visibility, 0)
        if geometry.flip:
            points, visibility = points[:, self.table.mirrored], visibility[:, self.table.mirrored]
        area = self.area * sides[0] * sides[1] * np.prod(geometry.scale)
        return Keypoints(
            boxes[enough],
            self.classes[enough],
            self.crowd[enough],
            np.where(visibility[..., None] > 0, points, 0).astype(np.float32)[enough],
            visibility[enough],
            area.astype(np.float32)[enough],
        )
