"""Boxes."""

from dataclasses import dataclass

from headrace_trainer.data.annotations.base import check_size, unit
from headrace_trainer.data.targets import Array, Boxes
from headrace_trainer.data.targets.geometry import Geometry


@dataclass(frozen=True)
class BoxList:
    """Boxes of one image."""

    boxes: Array
    """float32 [n, 4] xyxy"""
    classes: Array
    """int64 [n]"""
    crowd: Array
    """bool [n]"""
    normalised: bool
    """Coordinates are shares of the image's width and height (YOLO), else pixels."""
    size: tuple[int, int] | None = None
    where: str = "the annotation"

    @property
    def objects(self) -> int:
        return len(self.classes)

    def class_indices(self) -> list[int]:
        indices: list[int] = self.classes.tolist()
        return indices

    def stated_size(self) -> tuple[int, int] | None:
        return self.size

    def render(self, geometry: Geometry) -> Boxes:
        check_size(self.size, geometry, self.where)
        boxes, enough = geometry.place_boxes(self.boxes * unit(geometry) if self.normalised else self.boxes)
        return Boxes(boxes[enough], self.classes[enough], self.crowd[enough])
