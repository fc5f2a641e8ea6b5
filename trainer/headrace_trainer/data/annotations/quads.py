"""Quadrilaterals."""

from dataclasses import dataclass

from headrace_trainer.data.annotations.base import check_size, unit
from headrace_trainer.data.targets import Array, Quads
from headrace_trainer.data.targets.geometry import Geometry


@dataclass(frozen=True)
class QuadList:
    """Quadrilaterals of one image, as `quads.clean_quads` leaves them."""

    quads: Array
    """float32 [n, 4, 2] (x, y): corners clockwise on screen, the first where reading begins (the top left of a text)"""
    classes: Array
    """int64 [n]"""
    crowd: Array
    """bool [n]: not to be read ("###" of ICDAR); not learnt from, and ignored by the metric."""
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

    def render(self, geometry: Geometry) -> Quads:
        check_size(self.size, geometry, self.where)
        quads, bounds, enough = geometry.place_quads(self.quads * unit(geometry)[:2] if self.normalised else self.quads)
        return Quads(quads[enough], self.classes[enough], self.crowd[enough], bounds[enough])
