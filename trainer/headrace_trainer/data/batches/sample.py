"""Loads one image with the labels of every head, all under one geometry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from headrace_trainer.data.annotations import Annotation
from headrace_trainer.data.batches.rows import rows_of
from headrace_trainer.data.head_labels.convert import convert_along
from headrace_trainer.data.head_labels.head_data import HeadData
from headrace_trainer.data.picture import FAINT, Picture
from headrace_trainer.data.problems import BadSampleError, is_of_the_machine
from headrace_trainer.data.splits.split import Split
from headrace_trainer.data.targets import NO_LABEL, Array, ImageOnly, Target
from headrace_trainer.data.targets.geometry import PAD_COLOR, Geometry
from headrace_trainer.tasks.description import Shapes

ChooseGeometry = Callable[[tuple[int, int]], Geometry]
"""Chooses a geometry for an image of this (height, width)."""


@dataclass(frozen=True)
class Sample:
    """One image of a batch."""

    name: str
    image: Array
    """uint8 [H, W, 3]"""
    targets: Mapping[str, Mapping[str, Array] | None]
    """By head, the values at the start of its row in each of the head's tensors; None: unlabelled."""


def load_sample(split: Split, index: int, canvas: tuple[int, int], choose: ChooseGeometry) -> Sample:
    """Image `index` of `split`, placed by `choose` on a canvas of (height, width).

    An image that cannot be read becomes padding without labels, so the rest of the batch is unaffected; a broken annotation leaves
    the image unlabelled for its layer's heads. Both are counted, and may raise FatalError: TOO_MANY_BAD_IMAGES, or BAD_DATASET if
    nothing is left to train a head on. The machine's errors (MemoryError, or a disk's OSError) are raised unchanged: another
    attempt may succeed.
    """
    name = split.images[index]
    annotations = {layer: found for layer, images in split.annotations.items() if (found := images.get(name)) is not None}
    try:
        image, geometry = _load_image(split, name, choose, annotations)
    except Exception as problem:  # hostile files can make decoders raise anything
        if is_of_the_machine(problem):
            raise
        cause = f"cannot be read as an image: {problem or type(problem).__name__}"
        split.problems.bad(name, cause)
        split.lose(name, (None, *annotations), cause)
        return Sample(
            name, np.broadcast_to(np.array(PAD_COLOR, np.uint8), (*canvas, 3)), {head.spec.name: None for head in split.heads}
        )
    rendered: dict[str, Target] = {}
    read = {head.layer for head in split.heads if head.layer is not None and head.reads_annotations}
    for layer in sorted(read & annotations.keys()):
        try:
            rendered[layer] = annotations[layer].render(geometry)
        except BadSampleError as problem:
            split.problems.bad(name, problem)
            split.lose(name, (layer,), problem)
    return Sample(name, image, {head.spec.name: _rows(head, split, rendered, geometry) for head in split.heads})


def _rows(head: HeadData, split: Split, rendered: Mapping[str, Target], geometry: Geometry) -> Mapping[str, Array] | None:
    """A head's targets from those of the layers; None if the image is unlabelled for it."""
    if head.layer is not None and head.layer in rendered and head.reads_annotations:
        target = convert_along(head.path, rendered[head.layer], head.layer_classes)
    elif head.spec.task.self_supervised:
        target = ImageOnly(NO_LABEL)
    else:
        return None
    return rows_of(head.spec.task, target, Shapes(head.labels, split.padding[head.spec.name], geometry.canvas), geometry)


def _load_image(split: Split, name: str, choose: ChooseGeometry, annotations: Mapping[str, Annotation]) -> tuple[Array, Geometry]:
    with Picture(split.root / name) as picture:
        if picture.size != picture.stored_size and picture.stored_size in {a.stated_size() for a in annotations.values()}:
            picture.see_as_stored()
        geometry = choose(picture.size)
        placed = geometry.place_image(*picture.pixels(geometry.scaled))
        if picture.faint:
            split.problems.warn_once(name, FAINT)
        return placed, geometry
