"""Opens a dataset: which images it has, and which labels each has for each head. Decodes no image."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headrace_api import model
from headrace_api.first_few import first_few
from headrace_api.training import Augmentation, Scale
from headrace_trainer.counted import counted
from headrace_trainer.data.formats.registry import divided, open_files, read_layer
from headrace_trainer.data.head_labels.head_data import HeadData, head_data
from headrace_trainer.data.problems import Problems
from headrace_trainer.data.recognise.manifest import read_manifest
from headrace_trainer.data.splits.learnable import check_labels
from headrace_trainer.data.splits.split import Split, annotations_in, divide_images, make_split
from headrace_trainer.resolve import resolve_heads
from headrace_trainer.tasks import describe

_NAMED = 12
"""How many classes, keypoints and so on the log names for a head."""


@dataclass(frozen=True)
class Dataset:
    """Everything to learn from and to score on."""

    heads: tuple[HeadData, ...]
    train: Split
    val: Split
    problems: Problems
    unused_layers: tuple[str, ...] = ()

    def describe(self) -> list[str]:
        """Log lines: images, heads, classes, labels, conversions, and what was corrected or skipped."""
        lines = [f"{counted(len(self.train), 'images')} to train on, {len(self.val):,} to score on"]
        for head in self.heads:
            lines.append(f"head '{head.spec.name}' ({head.spec.task.words}) learns from {_source(head)}{_what(head)}")
            if not head.spec.task.self_supervised:
                lines += [self._labels_of(head, split) for split in (self.train, self.val)]
        if reading := self._reading_heads():
            lines.append(f"images are neither mirrored nor cropped, because these heads read text: {', '.join(reading)}")
        if self.unused_layers:
            lines.append(f"layers that no head uses: {', '.join(self.unused_layers)}")
        return lines + self.problems.summary()

    def augmentation(self, wanted: Augmentation) -> Augmentation:
        """`wanted`, limited to what labels survive: if a head reads text, images are neither mirrored nor cut."""
        if not self._reading_heads():
            return wanted
        scale = Scale(min=min(wanted.scale.min, 1.0), max=min(wanted.scale.max, 1.0))
        return wanted.model_copy(update={"horizontal_flip": False, "scale": scale})

    def _reading_heads(self) -> list[str]:
        return [head.spec.name for head in self.heads if describe(head.spec.task).reads_text]

    def _labels_of(self, head: HeadData, split: Split) -> str:
        annotated = describe(head.path[0]).counted
        objects = f", {counted(split.objects(head), annotated.what)}" if annotated is not None else ""
        images = f"{split.labelled(head):,} of {counted(len(split), 'images')} labelled"
        return f"head '{head.spec.name}', {split.name}: {images}{objects}"


def open_dataset(root: Path, network: model.Network, max_bad_images: int, say: Callable[[str], None]) -> Dataset:
    """Read the manifest, and the annotations of every layer that a head of `network` learns from.

    Raises FatalError: BAD_DATASET if the manifest or a whole layer cannot be used, or a head has nothing to learn from;
    NO_SUCH_LAYER or NO_CONVERSION if a head fits no layer; TOO_MANY_BAD_IMAGES beyond `max_bad_images`. Logs through `say` each
    skipped image, and warnings about heads that will not be scored or have no object to learn from.
    """
    # 1. Which head learns from which layer: this alone can end a job within milliseconds.
    manifest = read_manifest(root)
    resolved = resolve_heads(network, manifest)
    # 2. The annotations: each layer once, however many heads share it, without what cannot be learnt from.
    problems = Problems(max_bad_images, say)
    files = open_files(root, manifest)
    layers = {head.layer.name: head.layer for head in resolved if head.layer is not None}
    read = {name: read_layer(layer, files, problems) for name, layer in layers.items()}
    parts = divided(read, manifest.val_share)
    data = {name: describe(layers[name].task).learnable(layer, problems) for name, layer in parts.items()}
    # 3. The splits.
    takes_all = any(head.layer is None for head in resolved)
    images = divide_images(data, files.images() if takes_all else (), manifest.val_share, problems)
    # 4. What the heads' numbers mean, and their splits' labels.
    train = {name: annotations_in(images.train, layer, "train") for name, layer in data.items()}
    heads = tuple(
        head_data(head, data[head.layer.name], train[head.layer.name]) if head.layer is not None else head_data(head, None, {})
        for head in resolved
    )
    unused = tuple(layer.name for layer in manifest.layers if layer.name not in layers)
    dataset = Dataset(
        heads,
        make_split("train", images.train, data, root=root, heads=heads, problems=problems),
        make_split("val", images.val, data, root=root, heads=heads, problems=problems),
        problems,
        unused,
    )
    # 5. Check what every head can learn from and be scored on.
    for head in heads:
        if head.layer is not None:
            check_labels(head, layers[head.layer], data[head.layer], dataset.train, dataset.val, say=say)
    return dataset


def _source(head: HeadData) -> str:
    if head.spec.task.self_supervised:
        return "every image"
    converted = "" if len(head.path) == 1 else f", converted: {' → '.join(task.words for task in head.path)}"
    return f"layer '{head.layer}'{converted}"


def _what(head: HeadData) -> str:
    """The names of what there is to learn."""
    labels = head.labels
    named = {"classes": labels.classes, "keypoints": labels.keypoints, "values": labels.values, "characters": labels.alphabet}
    lists = [f"{counted(len(names), what)}: {first_few(names, _NAMED)}" for what, names in named.items() if names]
    if head.spec.task.self_supervised and lists:
        return f", and is scored with layer '{head.layer}', which has {'; '.join(lists)}"
    return f"; {'; '.join(lists)}" if lists else ""
