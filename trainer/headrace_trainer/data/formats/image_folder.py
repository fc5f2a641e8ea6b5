"""One folder per class: `<split's folder>/<class>/…/<image>`. The folders' names are the classes, unless dataset.json names them.

The images are the files themselves, wherever the folder is. Without `classes` in dataset.json, the classes are the folder names of
all splits in alphabetical order, or by number if all are whole numbers. For metric learning, folders are identities.

For anomaly detection (MVTec AD's layout, https://www.mvtec.com/company/research/datasets/mvtec-ad), images in a folder `good` (or
`normal`, `ok`) are normal, those in all others anomalous. Anomaly masks are in `ground_truth` beside the split's folder, or
where dataset.json says (`masks`): `<defect>/<image's stem>_mask.png`, or without `_mask`.
"""

import posixpath
from collections.abc import Iterator, Mapping

from headrace_api.dataset import Layer
from headrace_api.tasks import Task
from headrace_trainer.data.annotations import AnomalyLabel, IdentityLabel, ImageLabel
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.files import DatasetFiles, is_image
from headrace_trainer.data.layer_data import LayerData, Source, bad_layer, class_table, field_of, sources
from headrace_trainer.data.problems import Problems
from headrace_trainer.data.tables.reader import sorted_names

NORMAL = frozenset({"good", "normal", "ok"})
GROUND_TRUTH = "ground_truth"


def read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """List the images of each folder. A folder of images that is not in the class table is an error: it may be misspelt."""
    splits = sources(layer, files, problems)
    images = {source.split: _images(source) for source in splits}
    found = sorted({class_name for by_class in images.values() for class_name in by_class})
    if layer.task is Task.ANOMALY_DETECTION:
        if not any(is_normal(name) for name in found):
            raise bad_layer(layer, f"expected a folder 'good' (or normal, ok) of normal images; found: {', '.join(found)}")
        return LayerData(ClassTable((), ()), {source.split: dict(_anomalies(images[source.split], source)) for source in splits})
    table = class_table(layer, files) or ClassTable.of(dict(enumerate(sorted_names(found, layer))))
    if unknown := sorted(set(found) - set(table.names)):
        raise bad_layer(layer, f"folders that are not classes: {', '.join(unknown)}; the classes are: {', '.join(table.names)}")
    label = IdentityLabel if layer.task is Task.METRIC_LEARNING else ImageLabel
    labels = {name: label(index) for index, name in enumerate(table.names)}
    return LayerData(
        table,
        {split: {image: labels[name] for name in by_class for image in by_class[name]} for split, by_class in images.items()},
    )


def is_normal(folder: str) -> bool:
    """Whether a folder of that name holds normal images."""
    return folder.lower() in NORMAL


def beside(split_folder: str) -> str:
    """Where a split's anomaly masks are, unless dataset.json says otherwise."""
    return posixpath.join(posixpath.dirname(posixpath.normpath(split_folder)), GROUND_TRUTH)


def _images(source: Source) -> dict[str, list[str]]:
    """The images of each class; empty folders are not classes."""
    root = source.folder()
    folders = sorted(entry.name for entry in source.files.path(root).iterdir() if entry.is_dir() and not entry.name.startswith("."))
    images = {
        name: sorted(filter(is_image, source.files.walk(posixpath.normpath(f"{root}/{name}"))))
        for name in folders
        if source.layer.task is not Task.ANOMALY_DETECTION or name != GROUND_TRUTH
    }
    if not any(images.values()):
        raise bad_layer(source.layer, f"expected a folder of images for each class; {source.files.inside(root)}")
    return {name: found for name, found in images.items() if found}


def _anomalies(images: Mapping[str, list[str]], source: Source) -> Iterator[tuple[str, AnomalyLabel]]:
    masks = _masks_folder(source)
    for name, found in images.items():
        for image in found:
            if is_normal(name):
                yield image, AnomalyLabel(anomalous=False)
                continue
            mask = _mask(f"{masks}/{name}", image, source.files) if masks is not None else None
            source.problems.mended("anomalous images without a mask", mask is None)
            yield image, AnomalyLabel(True, source.files.path(mask) if mask is not None else None, mask or image)


def _masks_folder(source: Source) -> str | None:
    if (given := source.layer.masks.get(source.split)) is not None:
        return source.files.folder(given, field_of(source.layer, f"masks.{source.split}"))
    folder = beside(source.path)
    return folder if source.files.path(folder).is_dir() else None


def _mask(folder: str, image: str, files: DatasetFiles) -> str | None:
    stem = posixpath.splitext(posixpath.basename(image))[0]
    return next((name for end in ("_mask.png", ".png") if files.path(name := f"{folder}/{stem}{end}").is_file()), None)
