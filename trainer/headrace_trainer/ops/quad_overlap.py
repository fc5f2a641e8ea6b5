"""Quadrilaterals: float [..., 4, 2], x and y of the corners in pixels, in order along the outline.

Any four corners are allowed: concave, without area, or with crossing sides (then the two triangles count, by the even-odd rule).

P pairs, Y heights.
"""

import torch
from torch import Tensor

_SMALLEST_AREA = 1e-6
"""Square pixels. Divisors are at least this, so that two quadrilaterals without area have an IoU of 0."""
_PAIRS_AT_ONCE = 20_000
"""Each pair takes about a thousand numbers of temporary memory."""


def bounds(quads: Tensor) -> Tensor:
    """Bounding boxes: [..., 4, 2] -> [..., 4], x0, y0, x1, y1."""
    return torch.cat([quads.amin(dim=-2), quads.amax(dim=-2)], dim=-1)


def intersection_and_areas(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Intersection, area of a and area of b, in square pixels: [P, 4, 2] and [P, 4, 2] -> [P] three times.

    Cuts the plane into strips at every height with a corner or a crossing of two sides. Within a strip every width is linear in the
    height, so the middle width times the strip's thickness is the exact area. There are no special cases, and rounding changes the
    result only as much as it moves the corners.
    """
    some_at_once = zip(a.split(_PAIRS_AT_ONCE), b.split(_PAIRS_AT_ONCE), strict=True)
    both, area_a, area_b = (torch.cat(parts) for parts in zip(*(_by_heights(*pairs) for pairs in some_at_once), strict=True))
    return both, area_a, area_b


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of pairs: [P, 4, 2] and [P, 4, 2] -> [P], 0 to 1."""
    both, area_a, area_b = intersection_and_areas(a, b)
    return both / (area_a + area_b - both).clamp(min=_SMALLEST_AREA)


def likeness(answers: Tensor, objects: Tensor, crowd: Tensor) -> Tensor:
    """For average_precision.Likeness: [D, 4, 2], [G, 4, 2] and bool [G] -> [D, G], 0 to 1.

    IoU; for crowds, the share of the prediction that is inside the crowd.
    """
    shape = (len(answers), len(objects))
    first, second = answers[:, None].expand(*shape, 4, 2).flatten(0, 1), objects[None].expand(*shape, 4, 2).flatten(0, 1)
    both, of_answer, of_object = intersection_and_areas(first, second)
    whole = torch.where(crowd.repeat(len(answers)), of_answer, of_answer + of_object - both)
    return (both / whole.clamp(min=_SMALLEST_AREA)).clamp(max=1).view(shape)


def non_maximum_suppression(quads: Tensor, labels: Tensor, most: float) -> Tensor:
    """[n, 4, 2], best first, and their classes [n] -> indices of those kept, best first.

    Drops a quadrilateral whose IoU with a better, kept one of its class is above `most`. Waits for the device.
    """
    better, worse = _may_overlap(quads, labels, most).nonzero().unbind(1)
    alike = iou(quads[better], quads[worse]) > most
    pairs = torch.stack([better, worse])[:, alike].cpu()
    overlap = torch.zeros(len(quads), len(quads), dtype=torch.bool)
    overlap[pairs[0], pairs[1]] = True
    stays = torch.ones(len(quads), dtype=torch.bool)
    for index in pairs[0].unique().tolist():
        if stays[index]:
            stays &= ~overlap[index]
    return stays.nonzero().flatten().to(quads.device)


def _may_overlap(quads: Tensor, labels: Tensor, least: float) -> Tensor:
    """Pairs (better, worse) of one class whose IoU may be above `least`: bool [n, n]. A cheap filter that leaves few.

    The intersection of two polygons is at most that of their bounds, and their union at least the larger of the two.
    """
    boxes = bounds(quads)
    common = (torch.minimum(boxes[:, None, 2:], boxes[:, 2:]) - torch.maximum(boxes[:, None, :2], boxes[:, :2])).clamp(min=0)
    x, y = quads.unbind(-1)
    area = (x * y.roll(-1, 1) - x.roll(-1, 1) * y).sum(dim=1).abs() / 2
    near = common.prod(dim=2) > least * torch.maximum(area[:, None], area)
    return torch.triu(near & (labels[:, None] == labels), diagonal=1)


def _by_heights(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`intersection_and_areas` for all pairs at once."""
    # Moved to the origin, where floats are most precise.
    middle = (a.mean(dim=1, keepdim=True) + b.mean(dim=1, keepdim=True)) / 2
    a, b = a - middle, b - middle
    heights = torch.cat([a[..., 1], b[..., 1], _meeting_heights(a, b)], dim=1).sort(dim=1).values
    thickness, y = heights.diff(dim=1), (heights[:, 1:] + heights[:, :-1]) / 2
    in_a, in_b = _inside(a, y), _inside(b, y)
    low = torch.maximum(in_a[..., :, None, 0], in_b[..., None, :, 0])
    high = torch.minimum(in_a[..., :, None, 1], in_b[..., None, :, 1])
    common = (high - low).clamp(min=0).flatten(2).sum(dim=2)
    widths = (common, *((x[..., 1] - x[..., 0]).sum(dim=2) for x in (in_a, in_b)))
    both, area_a, area_b = ((width * thickness).sum(dim=1) for width in widths)
    return both, area_a, area_b


def _meeting_heights(a: Tensor, b: Tensor) -> Tensor:
    """Heights where the lines of two sides cross (one of a and one of b, or opposite sides of one): [P, 4, 2] twice -> [P, 20].

    It does not matter whether they cross within the sides: an extra height changes no area.
    """
    start_a, start_b = a, b
    along_a, along_b = a.roll(-1, 1) - a, b.roll(-1, 1) - b
    first = (start_a[:, :, None].expand(-1, -1, 4, -1).flatten(1, 2), start_a[:, :2], start_b[:, :2])
    first_along = (along_a[:, :, None].expand(-1, -1, 4, -1).flatten(1, 2), along_a[:, :2], along_b[:, :2])
    second = (start_b[:, None].expand(-1, 4, -1, -1).flatten(1, 2), start_a[:, 2:], start_b[:, 2:])
    second_along = (along_b[:, None].expand(-1, 4, -1, -1).flatten(1, 2), along_a[:, 2:], along_b[:, 2:])
    p, r, q, s = (torch.cat(parts, dim=1) for parts in (first, first_along, second, second_along))
    turn = _cross(r, s)
    parallel = turn == 0
    share = torch.where(parallel, 0, _cross(q - p, s) / torch.where(parallel, 1, turn))
    # Clamped to the side, which also keeps nearly parallel lines finite.
    return p[..., 1] + share.clamp(0, 1) * r[..., 1]


def _inside(quads: Tensor, y: Tensor) -> Tensor:
    """The intervals (at most two) where a height is inside: [P, 4, 2] and [P, Y] -> [P, Y, 2, 2]; (0, 0) for an empty one."""
    x0, y0 = (values[:, None] for values in quads.unbind(-1))
    x1, y1 = (values.roll(-1, 2) for values in (x0, y0))
    level = y[..., None]
    spans = (y0 <= level) != (y1 <= level)
    crossing = x0 + (level - y0) / torch.where(spans, y1 - y0, 1) * (x1 - x0)
    # Sides that do not span the height come last; the number of the others is even.
    ordered = torch.where(spans, crossing, torch.inf).sort(dim=2).values
    pairs: Tensor = torch.where(ordered.isinf(), 0, ordered).unflatten(2, (2, 2))
    return pairs


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
