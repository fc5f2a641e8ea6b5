"""Opens a dataset: which images there are, which labels each has for which head. No image is decoded to do so.

Splits: the train split is the union of what the layers list for training, likewise val. An image in both is taken out of train.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from headrace_api import model
from headrace_api.dataset import MANIFEST, Manifest
from headrace_api.names import Reason
from headrace_api.tasks import Task
from headrace_trainer.data.annotations import Annotation
from headrace_trainer.data.classes import ClassTable
from headrace_trainer.data.convert import classes_along
from headrace_trainer.data.files import DatasetFiles, contents
from headrace_trainer.data.layer_data import LayerData, SplitName
from headrace_trainer.data.layers import read_layer
from headrace_trainer.data.problems import Problems
from headrace_trainer.errors import FatalError
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.resolve import ResolvedHead, resolve_heads

MOST_BOXES = 300
MOST_MASKS = 100
MOST_OBJECTS = {
    Task.INSTANCE_SEGMENTATION: MOST_MASKS,
    Task.KEYPOINT_DETECTION: MOST_BOXES,
    Task.QUADRILATERAL_DETECTION: MOST_BOXES,
    Task.OBJECT_DETECTION: MOST_BOXES,
}
"""Training targets are padded to the most objects an image has, but to no more than this: memory goes with the padding."""
_PADDING_STEP = 8
_NAMED_PROBLEMS = 5

_Layers = Mapping[str, LayerData]


@dataclass(frozen=True)
class HeadData:
    """A head, and how it gets its labels."""

    spec: model.Head
    layer: str | None
    """None: a self-supervised head that learns from every image."""
    layer_classes: ClassTable
    path: tuple[Task, ...]
    """From the layer's task to the head's; one entry where nothing is converted."""
    labels: LabelSpace
    """Its classes are those of the layer as far as the conversions keep them."""


@dataclass(frozen=True)
class Split:
    """The images of a split and their annotations."""

    name: str
    images: tuple[str, ...]
    """Paths from the dataset's root, sorted: the same on every machine."""
    root: Path
    heads: tuple[HeadData, ...]
    annotations: Mapping[str, Mapping[str, Annotation]]
    """By layer and image; an image that is missing is unlabelled."""
    padding: Mapping[str, int]
    """By head, to how many objects or characters its targets are padded: static, so that shapes are. 0 where there are none."""
    problems: Problems
    """Takes what turns out to be bad while loading."""

    def __len__(self) -> int:
        return len(self.images)

    def labelled(self, head: HeadData) -> int:
        """How many images have labels for `head`."""
        return len(self.images) if head.layer is None else len(self.annotations[head.layer])

    def objects(self, head: HeadData) -> int:
        """How many objects the layer of `head` has in these images."""
        return 0 if head.layer is None else sum(annotation.objects for annotation in self.annotations[head.layer].values())


@dataclass(frozen=True)
class Dataset:
    """Everything there is to learn from and to score on."""

    heads: tuple[HeadData, ...]
    train: Split
    val: Split
    problems: Problems
    unused_layers: tuple[str, ...] = ()

    def describe(self) -> list[str]:
        """Lines for the log: images, heads, classes, labels, conversions, what was mended or skipped."""
        lines = [f"{len(self.train)} images to train on, {len(self.val)} to score on"]
        for head in self.heads:
            if head.layer is None:
                lines.append(f"head '{head.spec.name}' ({head.spec.task.words}) learns from every image")
                continue
            converted = "" if len(head.path) == 1 else f", converted: {' → '.join(task.words for task in head.path)}"
            lines.append(
                f"head '{head.spec.name}' ({head.spec.task.words}) learns from layer '{head.layer}'{converted}; "
                f"{len(head.labels.classes)} classes: {_shortened(head.labels.classes)}"
            )
            lines += [
                f"head '{head.spec.name}', {split.name}: {split.labelled(head)} of {len(split)} images labelled, "
                f"{split.objects(head)} objects"
                for split in (self.train, self.val)
            ]
        if self.unused_layers:
            lines.append(f"layers that no head uses: {', '.join(self.unused_layers)}")
        return lines + self.problems.summary()


def read_manifest(root: Path) -> Manifest:
    """The dataset's dataset.json; FatalError(BAD_DATASET) naming each wrong field where it is missing or wrong."""
    path = root / MANIFEST
    if not path.is_file():
        there = contents(root, "it") if root.is_dir() else "there is no such folder"
        raise FatalError(Reason.BAD_DATASET, f"{MANIFEST}: expected at the dataset's root, which is not there; {there}")
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problems = error.errors(include_url=False)
        wrong = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'the file'}: {p['msg']}" for p in problems[:_NAMED_PROBLEMS])
        raise FatalError(Reason.BAD_DATASET, f"{MANIFEST}: {wrong}") from error


def open_dataset(root: Path, network: model.Network, max_bad_images: int, say: Callable[[str], None]) -> Dataset:
    """Read the manifest and the annotations of every layer that a head of `network` learns from.

    Raises FatalError: BAD_DATASET where the manifest or a whole layer cannot be used, or a head has nothing to learn from,
    NO_SUCH_LAYER or NO_CONVERSION where a head fits no layer, TOO_MANY_BAD_IMAGES beyond `max_bad_images`. `say` is told of each
    image that is skipped, and warned of heads that will not be scored or have no object to learn from.
    """
    # 1. What is to be learnt from what: this alone can end a job within milliseconds.
    manifest = read_manifest(root)
    resolved = resolve_heads(network, manifest)
    # 2. The annotations, each layer once however many heads share it.
    problems = Problems(max_bad_images, say)
    files = DatasetFiles(root, manifest.images)
    layers = {head.layer.name: head.layer for head in resolved if head.layer is not None}
    data = {name: read_layer(layer, files, problems) for name, layer in layers.items()}
    # 3. What the heads' numbers mean.
    heads = tuple(_head_data(head, data) for head in resolved)
    # 4. The splits.
    train, val = _images_of(data, "train"), _images_of(data, "val")
    problems.mended("images are in both splits and were taken out of train", len(train & val))
    _refuse_empty(train - val, val, tuple(layers))
    unused = tuple(layer.name for layer in manifest.layers if layer.name not in layers)
    dataset = Dataset(
        heads,
        _split("train", train - val, data, root=root, heads=heads, problems=problems),
        _split("val", val, data, root=root, heads=heads, problems=problems),
        problems,
        unused,
    )
    # 5. What every head can learn and be scored on.
    for head_data in heads:
        _check_labels(dataset, head_data, data, say)
    return dataset


def _head_data(head: ResolvedHead, read: _Layers) -> HeadData:
    if head.layer is None:
        return HeadData(head.spec, None, ClassTable((), ()), head.path, LabelSpace())
    classes = read[head.layer.name].classes
    kept = classes_along(head.path, classes)
    return HeadData(head.spec, head.layer.name, classes, head.path, LabelSpace(classes=kept.names, things=kept.things))


def _images_of(read: _Layers, split: SplitName) -> set[str]:
    return {image for data in read.values() for image in data.splits.get(split, {})}


def _refuse_empty(train: set[str], val: set[str], layers: tuple[str, ...]) -> None:
    named = ", ".join(f"'{name}'" for name in layers)
    for split, images, other in (("val", val, "train"), ("train", train, "val")):
        if not images:
            raise FatalError(
                Reason.BAD_DATASET,
                f"{MANIFEST}: no image is in the split '{split}': give at least one of the layers {named} a '{split}' in its "
                f"splits, with images that are not in '{other}'",
            )


def _check_labels(dataset: Dataset, head: HeadData, read: _Layers, say: Callable[[str], None]) -> None:
    """Refuse a head that nothing is labelled for; warn of lesser gaps."""
    name, layer = head.spec.name, head.layer
    if layer is None:
        return
    labelled = dataset.train.labelled(head)
    if not labelled:
        taken_out = len(read[layer].splits.get("train", {}).keys() & set(dataset.val.images))
        why = f": {taken_out} of its images were taken out of train because they are in a layer's 'val'" if taken_out else ""
        raise FatalError(
            Reason.BAD_DATASET,
            f"head '{name}': layer '{layer}' has no labelled image to train on{why}; give the layer a 'train' in its splits, with "
            "images that are in no layer's 'val'",
        )
    if not dataset.val.labelled(head):
        say(
            f"WARNING: head '{name}' will have no score: layer '{layer}' has no labelled image to score on; give the layer a 'val' "
            "in its splits"
        )
    if head.spec.task is Task.OBJECT_DETECTION and not dataset.train.objects(head):
        say(
            f"WARNING: head '{name}' can learn only that nothing is there: none of the {labelled} labelled images to train on of "
            f"layer '{layer}' has an object"
        )


def _split(
    name: SplitName, images: set[str], read: _Layers, *, root: Path, heads: tuple[HeadData, ...], problems: Problems
) -> Split:
    annotations = {
        layer: {image: annotation for image, annotation in data.splits.get(name, {}).items() if image in images}
        for layer, data in read.items()
    }
    padding = {head.spec.name: _padding(name, head, annotations, problems) for head in heads}
    return Split(name, tuple(sorted(images)), root, heads, annotations, padding, problems)


def _padding(split: SplitName, head: HeadData, annotations: Mapping[str, Mapping[str, Annotation]], problems: Problems) -> int:
    """How many objects an image has at most, rounded up; in training no more than there is memory for."""
    by_image = annotations[head.layer] if head.layer is not None else {}
    most = max((annotation.objects for annotation in by_image.values()), default=1)
    bound = MOST_OBJECTS.get(head.spec.task, math.inf)
    if split == "train" and most > bound:
        problems.say(
            f"head '{head.spec.name}': an image of layer '{head.layer}' has {most} objects; it learns from the {bound} largest of "
            "a crop"
        )
        return int(bound)
    return -(-max(most, 1) // _PADDING_STEP) * _PADDING_STEP


def _shortened(names: tuple[str, ...], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
