"""What a check of a dataset found: as data, as JSON, and as text for people."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from headrace_api.dataset import Layer, Manifest
from headrace_api.first_few import first_few
from headrace_api.tasks import Task, reachable
from headrace_trainer.counted import counted
from headrace_trainer.tasks import describe

_NAMED = 24
"""Up to this many classes (keypoints, characters) are all named; beyond it, only some, in half a line."""
_MOST_FREQUENT = 10
_NAMED_PROBLEMS = 20
_WITHOUT_LABELS = tuple(task for task in Task if task.self_supervised)


@dataclass(frozen=True)
class SplitReport:
    """A split of a layer."""

    images: int
    """Images that the layer lists and that exist."""
    negatives: int
    """How many of these have no object; 0 for tasks that label the whole image."""
    objects: int
    """Segments, objects, characters or anomalous images; for other labels of the whole image, 1 per image."""


@dataclass(frozen=True)
class LayerReport:
    """A layer that could be read."""

    layer: Layer
    splits: dict[str, SplitReport]
    classes: dict[str, dict[str, int]]
    """By class, how many objects (or images) of it each split has; empty if counting them means decoding files."""
    names: dict[str, list[str]]
    """Other names: "classes" whose counts are unknown, "keypoints", "values", "characters"."""

    @property
    def serves(self) -> tuple[Task, ...]:
        """The tasks of heads that can learn from it."""
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
    """There is no dataset.json: the manifest was recognised from the files."""
    suggested: bool = False
    """Recognition is not certain: the manifest reads the parts that are clear by themselves, and training would fail."""
    manifest: Manifest | None = None
    images: int = 0
    """In the images' folder."""
    unlisted: int = 0
    """How many of these no layer lists."""
    sides: tuple[int, int] | None = None
    """The shortest and the longest side of an image, in pixels."""
    decoded: bool = False
    """All images were decoded and all annotations drawn; otherwise only headers were read."""
    layers: list[LayerReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What training would skip or fail on."""
    notes: list[str] = field(default_factory=list)
    """What was corrected, or may surprise you."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: all problems and notes."""
        return {
            "uri": self.uri,
            "recognised": self.recognised,
            "suggested": self.suggested,
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
        """Lines for people; long lists of problems are cut short."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield self.uri
        if self.manifest is not None and self.recognised:
            yield "no dataset.json; this one would read all that is clear:" if self.suggested else "no dataset.json; recognised:"
            yield from _manifest_lines(self.manifest)
        if self.images:
            sides = f", sides of {_range(self.sides)} pixels" if self.sides else ""
            alone = ", ".join(task.words for task in _WITHOUT_LABELS)
            yield f"{counted(self.images, 'images')}{sides}; {self.unlisted:,} in no layer; heads that need no labels: {alone}"
        if self.manifest is not None and not self.manifest.layers:
            yield "no layers: no labels were recognised, so no other heads can be trained"
        for layer in self.layers:
            yield from _layer_lines(layer)
        for kind, said in (("note", self.notes), ("problem", self.problems)):
            yield from (f"{kind}: {line}" for line in said[:_NAMED_PROBLEMS])
            if len(said) > _NAMED_PROBLEMS:
                yield f"and {counted(len(said) - _NAMED_PROBLEMS, f'more {kind}s')} (--json lists them all)"
        looked = "images and annotations" if self.decoded else "annotations and image headers"
        yield f"{counted(len(self.problems), 'problems') if self.problems else 'no problems'} found in {looked}"


def _manifest_lines(manifest: Manifest) -> Iterator[str]:
    """JSON to copy, one line per layer."""
    content = manifest.model_dump(mode="json", by_alias=True, exclude_unset=True)
    layers = [json.dumps(layer, ensure_ascii=False) for layer in content.pop("layers")]
    begin = json.dumps(content | {"layers": []}, ensure_ascii=False).removesuffix("]}")
    yield f"  {begin}" + ("" if layers else "]}")
    for number, layer in enumerate(layers, start=1):
        yield f"    {layer}" + ("," if number < len(layers) else "]}")


def _layer_lines(report: LayerReport) -> Iterator[str]:
    layer, annotated = report.layer, describe(report.layer.task).counted
    yield f"layer '{layer.name}': {layer.task.words}, format {layer.format}"
    for name, split in report.splits.items():
        negatives = f", {split.negatives:,} of them without objects" if split.negatives else ""
        objects = f"; {counted(split.objects, annotated.what)}" if annotated is not None else ""
        yield f"  {name:<6} {counted(split.images, 'images')}{negatives}{objects}"
    if report.classes:
        yield f"  {counted(len(report.classes), 'classes')} ({'/'.join(report.splits)}): {_class_counts(report.classes)}"
    for what, names in report.names.items():
        yield f"  {counted(len(names), what)}: {first_few(names, _NAMED)}"
    yield f"  heads: {', '.join(task.words for task in report.serves if not task.self_supervised)}"


def _class_counts(classes: Mapping[str, Mapping[str, int]]) -> str:
    """The classes with their counts by split; if there are many, the most frequent, and how many never occur in train."""
    order = list(classes)
    if len(order) > _NAMED:
        order = sorted(classes, key=lambda name: -sum(classes[name].values()))[:_MOST_FREQUENT]
    shown = ", ".join(f"{name} {'/'.join(f'{count:,}' for count in classes[name].values())}" for name in order)
    if len(order) == len(classes):
        return shown
    never = sum(1 for counts in classes.values() if not counts.get("train"))
    return f"{shown}, … ({len(classes) - len(order)} rarer ones" + (f"; {never} never in train)" if never else ")")


def _range(sides: tuple[int, int]) -> str:
    return f"{sides[0]} to {sides[1]}" if sides[0] < sides[1] else f"{sides[0]}"
