"""Plane geometry of quadrilaterals [n, 4, 2] (x to the right, y down): orientation, crossing sides, the part inside a window."""

from functools import reduce

import numpy as np

from headrace_trainer.data.problems import Problems
from headrace_trainer.data.targets import Array

MIRRORED = (1, 0, 3, 2)
"""Which corner takes each place in a mirrored image, so that they stay clockwise from the top left."""


def clean_quads(quads: Array, problems: Problems) -> tuple[Array, Array]:
    """Which quadrilaterals are usable, bool [n], and those, clockwise on screen from their original first corner.

    Drops those with crossing sides or no area, reverses anticlockwise ones, and counts both.
    """
    areas, crossing = signed_areas(quads), crossing_sides(quads)
    usable = ~crossing & (areas != 0)
    turned = usable & (areas < 0)
    problems.mended("quadrilaterals dropped: their sides cross", int(crossing.sum()))
    problems.mended("quadrilaterals dropped: no area", int((~crossing & (areas == 0)).sum()))
    problems.mended("quadrilaterals with anticlockwise corners reversed", int(turned.sum()))
    quads = np.where(turned[:, None, None], quads[:, [0, 3, 2, 1]], quads)
    return usable, quads[usable]


def signed_areas(quads: Array) -> Array:
    """float64 [n]: above 0 if the corners go clockwise on screen."""
    x, y = np.moveaxis(np.asarray(quads, np.float64), -1, 0)
    areas: Array = (x * np.roll(y, -1, axis=-1) - np.roll(x, -1, axis=-1) * y).sum(axis=-1) / 2
    return areas


def crossing_sides(quads: Array) -> Array:
    """bool [n]: whether two opposite sides cross."""
    a, b, c, d = np.moveaxis(np.asarray(quads, np.float64), 1, 0)
    return _cross(a, b, c, d) | _cross(b, c, d, a)


def visible_part(quad: Array, window: tuple[float, float, float, float]) -> Array:
    """The corners [k, 2] of the part of one quadrilateral inside a window (left, top, right, bottom); k is 0 if nothing is.

    Sutherland and Hodgman 1974: exact for convex quadrilaterals; for one with a dent, the area is exact too.
    """
    left, top, right, bottom = window
    edges = ((0, 1.0, left), (1, 1.0, top), (0, -1.0, -right), (1, -1.0, -bottom))
    polygon: Array = reduce(lambda rest, edge: _cut(rest, *edge), edges, np.asarray(quad, np.float64))
    return polygon


def area(polygon: Array) -> float:
    """Area of a polygon [k, 2], by the shoelace formula; 0 without corners."""
    x, y = polygon.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _cross(a: Array, b: Array, c: Array, d: Array) -> Array:
    """bool [n]: whether the open segments ab and cd [n, 2] meet in one point."""
    return (_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)


def _side(a: Array, b: Array, p: Array) -> Array:
    """[n]: -1, 0 or 1 for the side of the line ab that p is on."""
    side: Array = np.sign((b[:, 0] - a[:, 0]) * (p[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (p[:, 0] - a[:, 0]))
    return side


def _cut(polygon: Array, axis: int, sign: float, limit: float) -> Array:
    """The part of a polygon [k, 2] where sign × coordinate ≥ limit."""
    if not len(polygon):
        return polygon
    distance = sign * polygon[:, axis] - limit
    corners = []
    for here, after, d, e in zip(polygon, np.roll(polygon, -1, axis=0), distance, np.roll(distance, -1), strict=True):
        if d >= 0:
            corners.append(here)
        if (d < 0) != (e < 0):
            corners.append(here + (after - here) * (d / (d - e)))
    return np.array(corners).reshape(-1, 2)
