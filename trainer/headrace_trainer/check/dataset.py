"""Checks a dataset as a whole: every layer, every annotation, and the header or all of every image.

Opening a dataset to train stops at the first fatal problem; a check continues and reports them all.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from headrace_api.dataset import MANIFEST, Layer, Manifest
from headrace_api.errors import FatalError
from headrace_api.first_few import first_few
from headrace_trainer.check.images import SPLITS, Layers, check_images
from headrace_trainer.check.report import LayerReport, Report, SplitReport
from headrace_trainer.data.annotations import Annotation
from headrace_trainer.data.files import DatasetFiles, is_image, walk
from headrace_trainer.data.formats.registry import divided, folders_of_maps, open_files, read_layer
from headrace_trainer.data.layer_data import LayerData
from headrace_trainer.data.problems import Problems
from headrace_trainer.data.recognise import recognise
from headrace_trainer.data.recognise.listing import UnclearError, named
from headrace_trainer.data.recognise.manifest import read_manifest
from headrace_trainer.tasks import describe

_NAMED_CLASSES = 12


def check_dataset(root: Path, uri: str, decode: bool) -> Report:
    """Check the dataset in `root`, which the report calls `uri`.

    With `decode`, every image is decoded and every annotation drawn. Without it, only headers are read; the pixels of masks and
    depth maps in files of their own are not, so the classes in masks are unknown. Raises the machine's MemoryError and OSError.
    """
    report = Report(uri, decoded=decode)
    try:
        _find_manifest(root, report)
        if report.manifest is None:
            return report
        files = open_files(root, report.manifest)
    except FatalError as error:
        report.problems.append(error.message)
        return report
    report.images = sum(1 for _ in files.images())
    layers = _read_layers(report, files)
    _check_splits(report, layers)
    check_images(report, files, layers, decode)
    _check_classes(report)
    return report


def _find_manifest(root: Path, report: Report) -> None:
    """Find the dataset.json, or what is recognised, or a suggestion if recognition is not certain."""
    if (root / MANIFEST).is_file():
        report.manifest = read_manifest(root)
        return
    report.recognised = True
    names = list(walk(root))
    try:
        recognised = recognise(root, names)
        report.manifest = recognised.manifest
        report.notes += recognised.layout.notes
    except UnclearError as error:
        report.manifest, report.suggested = error.suggestion, True
        report.notes += error.notes
        report.problems.append(error.to_the_checker())
    if report.manifest is not None and (unused := _unused(names, report.manifest)):
        report.notes.append(f"image files not used: {named(unused)}")


def _unused(names: Iterable[str], manifest: Manifest) -> list[str]:
    """Image files that are neither the manifest's images nor its layers' maps."""
    maps = (folder for layer in manifest.layers for folder in folders_of_maps(layer))
    used = tuple("" if folder == "." else f"{folder}/" for folder in (manifest.images, *maps))
    return [name for name in names if is_image(name) and not name.startswith(used)]


def _read_layers(report: Report, files: DatasetFiles) -> Layers:
    """The layers that can be read; the report takes their problems."""
    assert report.manifest is not None, "its files are open"
    found = {layer.name: Problems(_any_number(), lambda _: None) for layer in report.manifest.layers}
    read: Layers = {}
    for layer in report.manifest.layers:
        try:
            read[layer.name] = read_layer(layer, files, found[layer.name])
        except FatalError as error:
            report.problems.append(error.message)
    layers: Layers = {}
    parts = divided(read, report.manifest.val_share)
    for layer in report.manifest.layers:
        problems = found[layer.name]
        if layer.name in read:
            layers[layer.name] = describe(layer.task).learnable(parts[layer.name], problems)
            report.layers.append(_layer_report(layer, layers[layer.name]))
        report.problems += [f"layer '{layer.name}': {name}: {cause}" for name, cause in problems.causes.items()]
        report.notes += [f"layer '{layer.name}': {line}" for line in problems.mended_lines()]
    return layers


def _any_number() -> int:
    """A check has no limit on bad images."""
    return 1 << 62


def _layer_report(layer: Layer, data: LayerData) -> LayerReport:
    splits = {split: data.splits[split] for split in SPLITS if split in data.splits}
    counts = {split: Counter(_indices(annotations.values())) for split, annotations in splits.items()}
    names = {
        "classes": [] if any(counts.values()) else list(data.classes.names),
        "keypoints": list(data.keypoints.names) if data.keypoints else [],
        "values": list(data.values),
        "characters": list(data.alphabet or ""),
    }
    return LayerReport(
        layer,
        {split: _split_report(layer, annotations) for split, annotations in splits.items()},
        {name: {split: counts[split][index] for split in splits} for index, name in enumerate(data.classes.names)}
        if any(counts.values())
        else {},
        {what: named for what, named in names.items() if named},
    )


def _indices(annotations: Iterable[Annotation]) -> Iterator[int]:
    return (index for annotation in annotations for index in annotation.class_indices())


def _split_report(layer: Layer, annotations: Mapping[str, Annotation]) -> SplitReport:
    objects = [annotation.objects for annotation in annotations.values()]
    counted = describe(layer.task).counted
    negatives = sum(1 for count in objects if not count) if counted is not None and counted.negatives else 0
    return SplitReport(len(objects), negatives, sum(objects))


def _check_splits(report: Report, layers: Layers) -> None:
    """Report whether there is something to train on and to score on, overall and for each layer."""
    if not layers:
        return
    listed = {split: {image for data in layers.values() for image in data.splits.get(split, {})} for split in SPLITS}
    if in_both := listed["train"] & listed["val"]:
        report.notes.append(f"{len(in_both)} images are in both splits and are taken out of train, for example {min(in_both)}")
    if not listed["val"]:
        report.problems.append("no image is in the split 'val' of any layer: nothing would be scored")
    if report.images == len(listed["train"] | listed["val"]) == 1:
        report.problems.append("the dataset has only one image; it needs two, one to train on and one to score on")
    for layer in report.layers:
        name, data = layer.layer.name, layers[layer.layer.name]
        train = {image: found for image, found in data.splits.get("train", {}).items() if image not in listed["val"]}
        if not train:
            report.problems.append(f"layer '{name}' has no image to train on")
        if (obstacle := describe(layer.layer.task).obstacle(data, train)) is not None:
            report.problems.append(f"layer '{name}': {obstacle}")
        if not data.splits.get("val"):
            report.notes.append(f"layer '{name}' has no image to score on: its heads would have no score")


def _check_classes(report: Report) -> None:
    """Note classes that are scored but cannot be learnt; identities in val are meant to be new."""
    for layer in report.layers:
        unseen = [of for of, counts in layer.classes.items() if counts.get("val") and not counts.get("train")]
        if unseen and not describe(layer.layer.task).new_classes_in_val:
            named_ones = first_few(unseen, _NAMED_CLASSES)
            report.notes.append(f"layer '{layer.layer.name}': classes in val but not in train: {named_ones}")
