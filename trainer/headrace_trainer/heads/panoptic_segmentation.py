"""Panoptic segmentation: every pixel belongs to one segment; each countable thing is a segment, each stuff class is one segment.

Method: dense boxes with dynamic masks for things, as in instance segmentation (heads/dense_boxes.py, heads/dynamic_masks.py), a
class for every pixel of the same fused map (heads/fused_map.py) for stuff, then both are merged: the structure of Panoptic FPN
(Kirillov et al. 2019, https://arxiv.org/abs/1901.02446) with the masks of CondInst. Why not mask queries (Mask2Former,
https://arxiv.org/abs/2112.01527), which score higher on COCO after long training of large backbones: their matching settles late,
and this head must also learn from random weights on a few hundred images.

Panoptic FPN pastes masks one after another. Here, if several things claim a pixel, the one with the highest score × probability at
that pixel gets it, for all pixels at once; a thing that keeps less than half of its own pixels duplicates another and is dropped,
as is stuff that is too small; their pixels are then redistributed among the rest.

Official metrics: PQ, SQ and RQ (Kirillov et al. 2019, https://arxiv.org/abs/1801.00868) as panopticapi counts them
(ops/panoptic_quality.py), means over the classes that occur; also PQ of things and of stuff. In pixels of the network's input.

Memory: as for dynamic masks in training; decoding an image takes three times the float32 masks of all detections (105 MB each for
100 of 512 × 512 pixels).

B images, N segments, C classes (T of things, S of stuff), M max detections, P = M + S segments predicted, H and W the image's
sides, h and w the fused map's.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headrace_api.heads import PanopticSegmentation
from headrace_api.tasks import Task
from headrace_trainer.data.targets import IGNORE
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Targets, levels_between, register
from headrace_trainer.heads.dense_boxes import DenseBoxes, Objects, assign, at_cells, box_losses, detect
from headrace_trainer.heads.dynamic_masks import DynamicMasks, choose
from headrace_trainer.heads.fused_map import FusedMap, SubCellOutput, to_image
from headrace_trainer.heads.scores import Score
from headrace_trainer.heads.truth import certain
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.drawing import Canvas, color_of
from headrace_trainer.ops.panoptic_quality import Segments, count_matches, no_counts, panoptic_quality
from headrace_trainer.results.base import Predictions, Results
from headrace_trainer.results.maps import PanopticResults

THING_SCORE = 0.3
"""Things with a lower score are dropped."""
STUFF_WEIGHT = 1.0
KEPT_SHARE = 0.5
"""A thing that keeps a smaller share of its pixels is dropped, as in Panoptic FPN."""
SMALLEST_STUFF = 0.005
"""Share of the image. Smaller stuff is dropped; Panoptic FPN's 4096 pixels are 0.013 of a COCO image."""


class PanopticSegmentationHead(Head):
    """Outputs for things: for each level i "logits<i>" and "distances<i>" of dense boxes (thing classes only), "kernels<i>" float32
    [B, ..., h_i, w_i], and "masks" float32 [B, F, h, w]. For stuff: "stuff" float32 [B, S + 1, h * 2, w * 2], the last one for
    anything else. If all classes are of one kind, the outputs of the other are absent.

    Predictions: "segments" int64 [B, H, W], index into P or IGNORE; "classes" int64 [B, P]; "scores" float32 [B, P], 1 for stuff;
    "valid" bool [B, P], True for segments with a pixel. The first M are things.
    """

    task = Task.PANOPTIC_SEGMENTATION
    needs = ("classes",)
    thing_of: Tensor
    """int64 [C]: index of a class among the things; 0 for stuff."""
    stuff_of: Tensor
    """int64 [C]: index of a class among the stuff; S, "anything else", for things."""
    is_thing: Tensor
    """bool [C]."""

    def __init__(self, channels: Mapping[int, int], labels: LabelSpace, max_detections: int) -> None:
        super().__init__(sorted(channels), labels)
        self.max_detections = max_detections
        self.map = FusedMap(channels)
        things = labels.things or (True,) * len(self.classes)
        self.things = tuple(number for number, thing in enumerate(things) if thing)
        self.stuff = tuple(number for number, thing in enumerate(things) if not thing)
        if self.things:
            self.dense = DenseBoxes(channels, len(self.things))
            self.masks = DynamicMasks(self.dense, self.map)
        if self.stuff:
            self.classify = SubCellOutput(self.map.width, len(self.stuff) + 1)
        thing_of, stuff_of = torch.zeros(len(things), dtype=torch.int64), torch.full((len(things),), len(self.stuff))
        thing_of[list(self.things)] = torch.arange(len(self.things))
        stuff_of[list(self.stuff)] = torch.arange(len(self.stuff))
        self.register_buffer("thing_of", thing_of, persistent=False)
        self.register_buffer("stuff_of", stuff_of, persistent=False)
        self.register_buffer("is_thing", torch.tensor(things), persistent=False)

    def forward(self, features: Features) -> Outputs:
        fused, outputs = self.map(features), {}
        if self.things:
            outputs, box_maps = self.dense(features)
            outputs |= self.masks(box_maps, fused)
        if self.stuff:
            outputs["stuff"] = self.classify(fused)
        return outputs

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        """Reads targets "segments", "classes", "valid" and "crowd".

        Things: "classification" and "boxes" (`box_losses`), "dice" and "edges" (`DynamicMasks.losses`). Stuff: "stuff", cross
        entropy, mean over the labelled images' pixels that are not IGNORE; things and their crowds count as "anything else".
        """
        segments = torch.where(labelled[:, None, None], targets["segments"], IGNORE)
        real = targets["valid"] & labelled[:, None]
        classes = torch.where(real, targets["classes"], 0)
        terms: dict[str, Tensor] = {}
        if self.things:
            things = self._things(segments, classes, real, targets["crowd"])
            terms |= self._thing_losses(outputs, segments, things, labelled)
        if self.stuff:
            terms["stuff"] = self._stuff_loss(outputs["stuff"], segments, classes)
        return terms

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        batch = len(next(iter(outputs.values())))
        # Image by image, because the float32 masks of all detections take the most memory.
        images = [self._decode_one({key: x[i : i + 1] for key, x in outputs.items()}, image_size) for i in range(batch)]
        return {key: torch.stack([image[key] for image in images]) for key in images[0]}

    def metric(self) -> Metric:
        return PanopticSegmentationMetric(len(self.classes), self.is_thing)

    def truth(self, targets: Targets) -> Predictions | None:
        shown = {name: targets[name] for name in ("segments", "classes", "valid")}
        return {**shown, "scores": certain(targets["valid"])}

    def results(self, folder: Path, least_score: float) -> Results:
        return PanopticResults(folder, self.labels, least_score)

    def draw(self, image: np.ndarray, predictions: Predictions, index: int) -> np.ndarray:
        """Segments in the colours of their classes, with dark edges, and the names of the four largest classes."""
        segments, classes = (predictions[key][index].cpu().numpy() for key in ("segments", "classes"))
        palette = np.asarray([color_of(number) for number in classes.tolist()], dtype=np.uint8)
        colors, there = palette[segments], segments != IGNORE
        colors[_edges(segments)] = 0
        canvas = Canvas(image)
        canvas.overlay(colors, opacity=0.5, where=there)
        numbers, pixels = np.unique(segments[there], return_counts=True)
        largest = classes[numbers[np.argsort(-pixels)]].tolist()
        for label in list(dict.fromkeys(largest))[:4]:
            canvas.caption(self.classes[label], label)
        return canvas.pixels()

    def _things(self, segments: Tensor, classes: Tensor, real: Tensor, crowd: Tensor) -> Objects:
        """The thing segments, with boxes around their pixels."""
        things = real & self.is_thing[classes]
        boxes = torch.where(things[..., None], _boxes_of(segments, classes.shape[1]), 0)
        return Objects(boxes, self.thing_of[classes], things & ~crowd, things & crowd, boxes[:, :0])

    def _thing_losses(self, outputs: Outputs, segments: Tensor, things: Objects, labelled: Tensor) -> dict[str, Tensor]:
        cells = self.dense.cells(outputs)
        assigned = assign(cells, things)
        chosen = choose(assigned)
        logits = self.masks.logits(outputs, cells, chosen.cell)
        truth = segments[:, None] == chosen.object[..., None, None]
        masks = self.masks.losses(logits, truth, at_cells(things.boxes, chosen.object), chosen.taken)
        return box_losses(cells, things, assigned, labelled) | masks

    def _stuff_loss(self, logits: Tensor, segments: Tensor, classes: Tensor) -> Tensor:
        there = segments != IGNORE
        of_segment = self.stuff_of[classes]
        truth = of_segment.gather(1, segments.clamp(min=0).flatten(1)).view(segments.shape)
        logits = to_image(logits, self.map.level, (segments.shape[1], segments.shape[2]))
        entropy = F.cross_entropy(logits, torch.where(there, truth, IGNORE), ignore_index=IGNORE, reduction="sum")
        return STUFF_WEIGHT * entropy / there.sum().clamp(min=1)

    def _decode_one(self, outputs: Outputs, size: tuple[int, int]) -> dict[str, Tensor]:
        """Predictions for a batch of one image, without the batch dimension."""
        device = next(iter(outputs.values())).device
        # Without stuff classes, pixels outside things are all "anything else".
        stuff = torch.ones(1, *size, device=device)
        if self.stuff:
            stuff = to_image(outputs["stuff"], self.map.level, size)[0].softmax(dim=0)
        things, scores, classes = stuff[:0], stuff.new_zeros(0), stuff.new_zeros(0, dtype=torch.int64)
        if self.things:
            things, scores, classes = self._claims(outputs, size)
        segments = _merge(things, stuff)
        count = len(things) + len(self.stuff)
        return {
            "segments": segments,
            "classes": torch.cat([classes, torch.tensor(self.stuff, dtype=torch.int64, device=device)]),
            "scores": torch.cat([scores, scores.new_ones(len(self.stuff))]),
            "valid": _pixels(segments, count) > 0,
        }

    def _claims(self, outputs: Outputs, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """How strongly things claim pixels, 0 where they do not: float32 [M, H, W]; and their scores and classes, [M]."""
        cells = self.dense.cells(outputs)
        found = detect(cells, size, self.max_detections)
        probability = self.masks.probabilities(self.masks.logits(outputs, cells, found.cell), size)[0]
        scores = torch.where(found.scores[0] >= THING_SCORE, found.scores[0], 0)
        claims = torch.where(probability > 0.5, probability * scores[:, None, None], 0)
        return claims, found.scores[0], torch.tensor(self.things, device=claims.device)[found.classes[0]]


def _merge(things: Tensor, stuff: Tensor) -> Tensor:
    """Claims of things [M, H, W] and probabilities of stuff and anything else [S + 1, H, W] -> segments int64 [H, W].

    Things take precedence over stuff. Indices below M are things, then S stuff classes; IGNORE where there is neither.
    """
    count = len(things) + len(stuff) - 1
    # On one scale: claims of things are above 1, stuff is from 0 to 1, and -1 marks pixels that a thing does not claim.
    claims = torch.cat([torch.where(things > 0, 1 + things, -1), stuff])
    held = _pixels(claims.argmax(dim=0), count + 1)
    claimed = (things > 0).sum(dim=(1, 2))
    least = torch.cat([KEPT_SHARE * claimed, held.new_full((len(stuff),), SMALLEST_STUFF * stuff[0].numel(), dtype=claims.dtype)])
    there = held >= least
    there[count] = True
    segments = torch.where(there[:, None, None], claims, -1).argmax(dim=0)
    return torch.where(segments < count, segments, IGNORE)


def _pixels(segments: Tensor, count: int) -> Tensor:
    """Number of pixels of [H, W] in each of `count` segments: int64 [count]."""
    numbers = torch.where((segments >= 0) & (segments < count), segments, count).flatten()
    return torch.zeros(count + 1, dtype=torch.int64, device=segments.device).scatter_add(0, numbers, torch.ones_like(numbers))[
        :count
    ]


def _boxes_of(segments: Tensor, count: int) -> Tensor:
    """Tight boxes of segments 0 to `count` - 1: int64 [B, H, W] -> float32 [B, count, 4]; arbitrary for those without pixels."""
    left, right = _extent(segments, count)
    top, bottom = _extent(segments.transpose(1, 2), count)
    return torch.stack([left, top, right, bottom], dim=2).float()


def _extent(segments: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """First column of each segment, and last column plus one: [B, H, W] -> int64 [B, count] twice."""
    batch, _, width = segments.shape
    column = torch.arange(width, device=segments.device)
    place = ((segments + 1) * width + column).flatten(1)
    there = torch.zeros(batch, (count + 1) * width, dtype=torch.bool, device=segments.device).scatter(1, place, True)
    there = there.view(batch, count + 1, width)[:, 1:]
    return torch.where(there, column, width).amin(dim=2), torch.where(there, column + 1, 0).amax(dim=2)


def _edges(segments: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour belongs to another segment: bool [H, W]."""
    edges = np.zeros(segments.shape, np.bool_)
    edges[:, :-1] |= segments[:, :-1] != segments[:, 1:]
    edges[:-1] |= segments[:-1] != segments[1:]
    return edges


class PanopticSegmentationMetric(Metric):
    """PQ, SQ, RQ, PQthings, PQstuff; NaN if no labelled image has a segment, true or predicted."""

    scores = (Score("PQ"), Score("SQ"), Score("RQ"), Score("PQthings"), Score("PQstuff"))

    def __init__(self, classes: int, things: Tensor) -> None:
        self._classes = classes
        self._things = things.cpu()
        self._counts = no_counts(classes)

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        valid = targets["valid"] & labelled[:, None]
        segments = torch.where(labelled[:, None, None], targets["segments"], IGNORE)
        truth = Segments(segments, torch.where(valid, targets["classes"], 0), valid)
        found = Segments(predictions["segments"], predictions["classes"], predictions["valid"] & labelled[:, None])
        counts = count_matches(truth, targets["crowd"] & valid, found, self._classes)
        self._counts = counts + self._counts.to(counts.overlap.device)

    def compute(self) -> dict[str, float]:
        return panoptic_quality(self._counts, self._things)


@register(Task.PANOPTIC_SEGMENTATION)
def build(options: PanopticSegmentation, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    """The head that `options` describe, on some of the levels of `channels`."""
    levels = levels_between(channels, options.bottom_level, options.top_level)
    return PanopticSegmentationHead({level: channels[level] for level in levels}, labels, options.max_detections)
