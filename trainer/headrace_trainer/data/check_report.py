"""What a check of a dataset found: as data, as JSON, and as text for people."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from headrace_api.dataset import Layer, Manifest
from headrace_api.tasks import Task, reachable

_COUNTED = {
    Task.PANOPTIC_SEGMENTATION: "segments",
    **dict.fromkeys((Task.INSTANCE_SEGMENTATION, Task.KEYPOINT_DETECTION, Task.OBJECT_DETECTION), "objects"),
    Task.QUADRILATERAL_DETECTION: "quadrilaterals",
    Task.TEXT_RECOGNITION: "characters",
    Task.ANOMALY_DETECTION: "of them anomalous",
}
"""What an annotation's `objects` are; of other tasks, whose labels are of the whole image, there is nothing to count."""
_NAMED_CLASSES = 40
_NAMED_PROBLEMS = 50


@dataclass(frozen=True)
class SplitReport:
    """A split of a layer."""

    images: int
    """That the layer lists and that are there."""
    negatives: int
    """Of these, those without an object; 0 for tasks whose labels are of the whole image."""
    objects: int
    """Segments, objects, characters, anomalous images; 1 an image for other labels of the whole image."""


@dataclass(frozen=True)
class LayerReport:
    """A layer that could be read."""

    layer: Layer
    splits: dict[str, SplitReport]
    classes: dict[str, dict[str, int]]
    """By class, how many objects (or images) of it each split has; empty where files would have to be decoded to know."""
    names: dict[str, list[str]]
    """What else is named: "classes" whose counts are not known, "keypoints", "values", "characters"."""

    @property
    def serves(self) -> tuple[Task, ...]:
        """The tasks of heads that can be trained from it."""
        return reachable(self.layer.task)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "name": self.layer.name,
            "task": self.layer.task.value,
            "format": self.layer.format,
            "splits": {name: asdict(split) for name, split in self.splits.items()},
            "classes": self.classes,
            "names": self.names,
            "serves": [task.value for task in self.serves],
        }


@dataclass
class Report:
    """A dataset, and what is wrong with it."""

    uri: str
    recognised: bool = False
    """There is no dataset.json: the manifest is made out."""
    manifest: Manifest | None = None
    images: int = 0
    """In the images' folder."""
    unlisted: int = 0
    """Of these, those that no layer lists."""
    sides: tuple[int, int] | None = None
    """The shortest and the longest side of an image, in pixels."""
    decoded: bool = False
    """The pixels of all images were read, and every annotation was drawn; else headers only."""
    layers: list[LayerReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What would be skipped in training, or would end it."""
    notes: list[str] = field(default_factory=list)
    """What was put right or may surprise."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: all problems and notes."""
        return {
            "uri": self.uri,
            "recognised": self.recognised,
            "manifest": self.manifest.model_dump(mode="json", by_alias=True, exclude_unset=True) if self.manifest else None,
            "images": self.images,
            "unlisted": self.unlisted,
            "sides": list(self.sides) if self.sides else None,
            "decoded": self.decoded,
            "layers": [layer.to_json() for layer in self.layers],
            "problems": self.problems,
            "notes": self.notes,
        }

    def to_text(self) -> str:
        """Lines for people: many problems are cut short."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield self.uri
        if self.manifest is not None and self.recognised:
            yield f"no dataset.json; recognised: {self.manifest.model_dump_json(by_alias=True, exclude_unset=True)}"
        if self.images:
            sides = f", sides of {self.sides[0]} to {self.sides[1]} pixels" if self.sides else ""
            yield f"{self.images:,} images{sides}; {self.unlisted:,} in no layer"
        for layer in self.layers:
            yield from _layer_lines(layer)
        for kind, said in (("note", self.notes), ("problem", self.problems)):
            yield from (f"{kind}: {line}" for line in said[:_NAMED_PROBLEMS])
            if len(said) > _NAMED_PROBLEMS:
                yield f"and {len(said) - _NAMED_PROBLEMS:,} more {kind}s (--json has them all)"
        looked = "images and annotations" if self.decoded else "annotations and images' headers"
        found = f"{len(self.problems):,}" if self.problems else "no"
        yield f"{found} problem{'s' if len(self.problems) > 1 else ''} found in {looked}"


def _layer_lines(report: LayerReport) -> Iterator[str]:
    layer = report.layer
    yield f"layer '{layer.name}': {layer.task.words}, format {layer.format}"
    for name, split in report.splits.items():
        negatives = f", {split.negatives:,} of them without an object" if split.negatives else ""
        counted = f"; {split.objects:,} {_COUNTED[layer.task]}" if layer.task in _COUNTED else ""
        yield f"  {name:<6} {split.images:,} images{negatives}{counted}"
    if report.classes:
        counts = [f"{name} {'/'.join(f'{count:,}' for count in of.values())}" for name, of in report.classes.items()]
        yield f"  {len(counts)} classes ({'/'.join(report.splits)}): {_shortened(counts)}"
    for what, names in report.names.items():
        yield f"  {len(names)} {what}: {_shortened(names)}"
    yield f"  heads: {', '.join(task.words for task in report.serves)}"


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED_CLASSES]) + (f", … ({len(names) - _NAMED_CLASSES} more)" if len(names) > _NAMED_CLASSES else "")
