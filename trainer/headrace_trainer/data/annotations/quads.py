"""Quadrilaterals."""

from dataclasses import dataclass

from headrace_trainer.data.annotations.base import ObjectAnnotation, check_size, unit
from headrace_trainer.data.targets import Array, Quads
from headrace_trainer.data.targets.geometry import Geometry


@dataclass(frozen=True)
class QuadList(ObjectAnnotation):
    """Quadrilaterals of one image, as `quad_geometry.clean_quads` leaves them. Crowds are illegible texts (ICDAR's "###")."""

    quads: Array
    """float32 [n, 4, 2] (x, y): corners clockwise on screen, the first where reading begins (a text's top left)"""
    normalised: bool
    """Coordinates are fractions of the image's width and height (YOLO), else pixels."""

    def render(self, geometry: Geometry) -> Quads:
        check_size(self.size, geometry, self.where)
        quads, bounds, enough = geometry.place_quads(self.quads * unit(geometry)[:2] if self.normalised else self.quads)
        return Quads(quads[enough], self.classes[enough], self.crowd[enough], bounds[enough])
