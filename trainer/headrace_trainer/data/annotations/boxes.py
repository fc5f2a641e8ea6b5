"""Boxes."""

from dataclasses import dataclass

from headrace_trainer.data.annotations.base import ObjectAnnotation, check_size, unit
from headrace_trainer.data.targets import Array, Boxes
from headrace_trainer.data.targets.geometry import Geometry


@dataclass(frozen=True)
class BoxList(ObjectAnnotation):
    """Boxes of one image."""

    boxes: Array
    """float32 [n, 4] xyxy"""
    normalised: bool
    """Coordinates are fractions of the image's width and height (YOLO), else pixels."""

    def render(self, geometry: Geometry) -> Boxes:
        check_size(self.size, geometry, self.where)
        boxes, enough = geometry.place_boxes(self.boxes * unit(geometry) if self.normalised else self.boxes)
        return Boxes(boxes[enough], self.classes[enough], self.crowd[enough])
