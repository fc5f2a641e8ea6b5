"""Masks of objects, as polygons or run lengths."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from faster_coco_eval.core import mask as coco_mask

from headrace_trainer.data.annotations.base import ObjectAnnotation, check_size, unit
from headrace_trainer.data.annotations.inside import check_near
from headrace_trainer.data.problems import BadSampleError
from headrace_trainer.data.targets import Array, Instances
from headrace_trainer.data.targets.geometry import Geometry
from headrace_trainer.data.targets.quad_geometry import area


class Shape(Protocol):
    """The outline of one instance."""

    def draw(self, geometry: Geometry) -> tuple[Array, float]:
        """Mask on the canvas, bool [H, W], and the area in canvas pixels that it would have uncropped."""


@dataclass(frozen=True)
class Rings:
    """A union of polygons."""

    rings: tuple[Array, ...]
    """each float32 [k, 2] (x, y), k >= 3"""
    normalised: bool
    where: str = "the annotation"

    def draw(self, geometry: Geometry) -> tuple[Array, float]:
        sides = unit(geometry)[:2] if self.normalised else 1.0
        rings = [ring * sides for ring in self.rings]
        check_near(rings, geometry.source, self.where)
        placed = [geometry.place_points(ring) for ring in rings]
        height, width = geometry.canvas
        corners = np.concatenate(placed)
        low, high = corners.min(axis=0), corners.max(axis=0)
        if (high <= 0).any() or low[0] >= width or low[1] >= height:
            return np.zeros(geometry.canvas, np.bool_), 1.0
        runs = coco_mask.frPyObjects([ring.ravel().tolist() for ring in placed], height, width)
        # Drawn at the canvas's resolution, by the official rasteriser: at scale 1 the mask equals pycocotools'.
        drawn: Array = coco_mask.decode(coco_mask.merge(runs)).astype(np.bool_)
        return drawn, sum(area(ring) for ring in placed)


@dataclass(frozen=True)
class Runs:
    """A run-length encoded mask (COCO's compressed form, column by column)."""

    counts: bytes
    size: tuple[int, int]
    area: int
    """Pixels of the mask."""
    where: str

    def draw(self, geometry: Geometry) -> tuple[Array, float]:
        check_size(self.size, geometry, self.where)
        try:
            mask: Array = coco_mask.decode({"size": list(self.size), "counts": self.counts})
        except (RuntimeError, ValueError) as error:
            raise BadSampleError(f"{self.where}: run lengths cannot be decoded: {error}") from None
        down, across = geometry.scale
        return geometry.place_map(mask, 0).astype(np.bool_), self.area * down * across


@dataclass(frozen=True)
class InstanceList(ObjectAnnotation):
    """Instances of one image."""

    shapes: Sequence[Shape]

    def render(self, geometry: Geometry) -> Instances:
        """The instances with at least one pixel and at least `geometry.min_visible` of their area inside the crop."""
        check_size(self.size, geometry, self.where)
        masks, kept = [], []
        for index, shape in enumerate(self.shapes):
            mask, whole = shape.draw(geometry)
            visible = int(mask.sum())
            if visible and visible >= geometry.min_visible * whole:
                masks.append(mask)
                kept.append(index)
        stack = np.stack(masks) if masks else np.zeros((0, *geometry.canvas), np.bool_)
        return Instances(stack, self.classes[kept], self.crowd[kept])
