"""Where an image lands in the network's input: one scale, one offset, one flip, applied to pixels and to every label alike.

Coordinates are continuous pixels, the origin at the outer corner of the first pixel (so the centre of pixel i is i + 0.5). A
`Geometry` maps the upright image, h × w, onto a canvas of H × W: scaled to `scaled`, its corner put at (`top`, `left`), cropped to
the canvas, then mirrored. What the image does not cover is padding: PAD_COLOR in the picture, IGNORE in class maps.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from headrace_trainer.data.targets import Array
from headrace_trainer.data.targets.quad_geometry import MIRRORED, area, signed_areas, visible_part

PAD_COLOR = (124, 116, 104)
"""ImageNet's mean colour, which the network normalises to about zero."""


MIN_VISIBLE = 0.1
"""Share of its area that a training crop must show to keep an object (YOLOv5's `area_thr`)."""


@dataclass(frozen=True)
class Geometry:
    """All sizes are (height, width)."""

    source: tuple[int, int]
    """Size of the upright image."""
    scaled: tuple[int, int]
    """Size of the whole image after scaling, in whole pixels, so the aspect may change by less than a pixel."""
    top: int
    left: int
    """Where the scaled image's corner is on the canvas; negative if the crop cuts it off."""
    canvas: tuple[int, int]
    flip: bool = False
    min_visible: float = 0.0
    """An object is dropped if the canvas shows a smaller share of its area."""
    min_side: float = 0.0
    """An object is dropped if its visible box is narrower or lower than this, in canvas pixels."""

    @property
    def scale(self) -> tuple[float, float]:
        """Canvas pixels per source pixel, down and across."""
        return self.scaled[0] / self.source[0], self.scaled[1] / self.source[1]

    @cached_property
    def window(self) -> tuple[int, int, int, int]:
        """The part of the canvas that the image covers, before the flip: top, left, bottom, right."""
        bottom, right = self.top + self.scaled[0], self.left + self.scaled[1]
        return max(self.top, 0), max(self.left, 0), min(bottom, self.canvas[0]), min(right, self.canvas[1])

    def place_image(self, image: Image.Image, extent: tuple[float, float, float, float] | None = None) -> Array:
        """The canvas, uint8 [H, W, 3], from an RGB image that may have been decoded at a fraction of its size.

        `extent`: left, top, right and bottom of the picture within `image`, if it does not fill it.
        """
        x0, y0, x1, y1 = extent or (0.0, 0.0, image.width, image.height)
        top, left, bottom, right = self.window
        down, across = (y1 - y0) / self.scaled[0], (x1 - x0) / self.scaled[1]
        box = (
            x0 + (left - self.left) * across,
            y0 + (top - self.top) * down,
            min(x0 + (right - self.left) * across, x1),
            min(y0 + (bottom - self.top) * down, y1),
        )
        canvas = np.empty((*self.canvas, 3), np.uint8)
        if (bottom - top, right - left) != self.canvas:
            canvas[:] = PAD_COLOR
        canvas[top:bottom, left:right] = np.asarray(image.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box))
        return canvas[:, ::-1] if self.flip else canvas

    @cached_property
    def shown(self) -> tuple[int, int, int, int]:
        """The part of the canvas that shows the image, flip included: left, top, right, bottom."""
        top, left, bottom, right = self.window
        if self.flip:
            left, right = self.canvas[1] - right, self.canvas[1] - left
        return left, top, right, bottom

    @property
    def shown_map(self) -> Array:
        """bool [H, W]: where the canvas shows the image, not padding."""
        left, top, right, bottom = self.shown
        shown = np.zeros(self.canvas, np.bool_)
        shown[top:bottom, left:right] = True
        return shown

    def place_map(self, values: Array, fill: float) -> Array:
        """A map [H, W] of the same type from one [h, w], by nearest neighbour; `fill` outside the image."""
        top, left, bottom, right = self.window
        rows = ((np.arange(top, bottom) + 0.5 - self.top) / self.scale[0]).astype(np.intp)
        columns = ((np.arange(left, right) + 0.5 - self.left) / self.scale[1]).astype(np.intp)
        placed = np.full(self.canvas, fill, values.dtype)
        placed[top:bottom, left:right] = values[rows][:, columns]
        return placed[:, ::-1] if self.flip else placed

    def place_points(self, points: Array) -> Array:
        """float64 [k, 2] (x, y) on the canvas, neither clipped nor renumbered, from points in source pixels."""
        down, across = self.scale
        placed = np.asarray(points, np.float64) * (across, down) + (self.left, self.top)
        if self.flip:
            placed[:, 0] = self.canvas[1] - placed[:, 0]
        return placed

    def place_boxes(self, boxes: Array) -> tuple[Array, Array]:
        """Boxes [n, 4] xyxy of the source as float32 [n, 4] clipped to what is visible, and bool [n]: whether enough of it is.

        A box stays if at least `min_visible` of its area is inside the crop and each of its sides still measures `min_side`.
        """
        corners = self.place_points(np.asarray(boxes, np.float64).reshape(-1, 2)).reshape(-1, 4)
        if self.flip:
            corners = corners[:, [2, 1, 0, 3]]
        clipped = corners.clip(self.shown[:2] * 2, self.shown[2:] * 2)
        sides = clipped[:, 2:] - clipped[:, :2]
        whole = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
        enough = np.prod(sides, axis=1) >= self.min_visible * whole
        return clipped.astype(np.float32), enough & (sides >= self.min_side).all(axis=1) & (sides > 0).all(axis=1)

    def place_quads(self, quads: Array) -> tuple[Array, Array, Array]:
        """Quadrilaterals [n, 4, 2] of the source, corners clockwise, on the canvas.

        Returns float32 [n, 4, 2], not clipped, in the same order on screen even if mirrored; float32 [n, 4], the tight boxes
        around what is visible; and bool [n]: whether enough of it is, as for boxes.
        """
        placed = self.place_points(quads.reshape(-1, 2)).reshape(-1, 4, 2)
        if self.flip:
            placed = placed[:, MIRRORED]
        bounds = np.concatenate((placed.min(axis=1), placed.max(axis=1)), axis=1)
        visible = np.abs(signed_areas(placed))
        whole = visible.copy()
        for index in np.flatnonzero(~self.shows(placed).all(axis=1)):
            polygon = visible_part(placed[index], self.shown)
            visible[index] = area(polygon)
            bounds[index] = (*polygon.min(axis=0), *polygon.max(axis=0)) if len(polygon) else 0
        bounds = bounds.clip(self.shown[:2] * 2, self.shown[2:] * 2)
        sides = bounds[:, 2:] - bounds[:, :2]
        enough = (visible > 0) & (visible >= self.min_visible * whole) & (sides >= self.min_side).all(axis=1)
        return placed.astype(np.float32), bounds.astype(np.float32), enough

    def shows(self, points: Array) -> Array:
        """bool [...]: which points [..., 2] of the canvas are on the part that shows the image, border included."""
        inside: Array = np.all((points >= self.shown[:2]) & (points <= self.shown[2:]), axis=-1)
        return inside


def letterbox(source: tuple[int, int], canvas: tuple[int, int]) -> Geometry:
    """The whole image, as large as fits, centred: what evaluation sees. Drops nothing."""
    scaled = _fit(source, canvas, 1.0)
    return Geometry(source, scaled, (canvas[0] - scaled[0]) // 2, (canvas[1] - scaled[1]) // 2, canvas)


def zoomed(source: tuple[int, int], canvas: tuple[int, int], zoom: float, place: tuple[float, float], flip: bool) -> Geometry:
    """The image at `zoom` times its letterbox size: what training sees.

    `place` (down, across; 0 to 1) positions the crop, or the image within the padding, among all places that waste no canvas.
    Objects are dropped if less than MIN_VISIBLE of them, or less than a pixel, is left.
    """
    scaled = _fit(source, canvas, zoom)
    top, left = (
        round(min(room, 0) + share * abs(room))
        for share, room in zip(place, (canvas[0] - scaled[0], canvas[1] - scaled[1]), strict=True)
    )
    return Geometry(source, scaled, top, left, canvas, flip, min_visible=MIN_VISIBLE, min_side=1.0)


def _fit(source: tuple[int, int], canvas: tuple[int, int], zoom: float) -> tuple[int, int]:
    scale = zoom * min(canvas[0] / source[0], canvas[1] / source[1])
    return max(round(source[0] * scale), 1), max(round(source[1] * scale), 1)
