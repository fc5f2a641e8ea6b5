"""Maps each format to its reader, so that no other code asks which format a layer has."""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import replace
from pathlib import Path

from headrace_api.dataset import Format, Layer, Manifest, Part
from headrace_api.errors import FatalError
from headrace_api.tasks import Task
from headrace_trainer.data.annotations import Annotation
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.formats import (
    coco,
    coco_panoptic,
    csv_table,
    depth,
    icdar,
    image_folder,
    json_lines,
    mask_png,
    voc,
    yolo,
)
from headrace_trainer.data.held_out import held_out
from headrace_trainer.data.layer_data import LayerData, bad_layer
from headrace_trainer.data.problems import Problems, is_of_the_machine

Reader = Callable[[Layer, DatasetFiles, Problems], LayerData]

READERS: dict[Format, Reader] = {
    "yolo": yolo.read,
    "coco": coco.read,
    "coco-panoptic": coco_panoptic.read,
    "mask-png": mask_png.read,
    "image-folder": image_folder.read,
    "voc": voc.read,
    "csv": csv_table.read,
    "jsonl": json_lines.read,
    "depth": depth.read,
    "icdar": icdar.read,
}


def open_files(root: Path, manifest: Manifest) -> DatasetFiles:
    """A dataset's files; masks and depth maps, which are image files too, do not count as images."""
    return DatasetFiles(root, manifest.images, {folder for layer in manifest.layers for folder in folders_of_maps(layer)})


def folders_of_maps(layer: Layer) -> Iterator[str]:
    """Folders of annotations that look like images."""
    yield from layer.masks.values()
    for place in layer.splits.values():
        if layer.format in {"mask-png", "depth"}:
            yield place
        elif layer.format == "coco-panoptic":
            yield coco_panoptic.beside(place)
        elif layer.task is Task.ANOMALY_DETECTION and layer.format == "image-folder":
            yield image_folder.beside(place)


def read_layer(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """All images of `layer`, by the splits of its files.

    Broken annotations are counted in `problems` and left out. Raises FatalError(BAD_DATASET) if the whole layer cannot be read,
    or two of its classes share a name: tables and predictions tell classes apart by name.
    """
    data = _read(layer, files, problems)
    if (alike := data.classes.of_one_name()) is not None:
        one, other, name = alike
        raise bad_layer(layer, f"classes {one} and {other} are both called '{name}'; expected a different name for each class")
    return data


def _read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """Read `layer` with its format's reader. Files may be hostile, so errors that a reader did not expect are their fault too."""
    try:
        return READERS[layer.format](layer, files, problems)
    except FatalError:
        raise
    except Exception as error:
        if is_of_the_machine(error):
            raise
        read = ", ".join(layer.splits.values())
        raise bad_layer(layer, f"its annotations ({read}) cannot be understood: {type(error).__name__}: {error}") from error


def divided(layers: Mapping[str, LayerData], val_share: float) -> dict[str, LayerData]:
    """`layers` with train and val only: a share of all images in "all" goes to val."""
    val = held_out([data.splits["all"] for data in layers.values() if "all" in data.splits], val_share)
    return {name: replace(data, splits=_divided(data.splits, val)) for name, data in layers.items()}


def _divided(splits: Mapping[Part, Mapping[str, Annotation]], val: Set[str]) -> dict[Part, Mapping[str, Annotation]]:
    if "all" not in splits:
        return dict(splits)
    images = splits["all"]
    return {
        "train": {image: annotation for image, annotation in images.items() if image not in val},
        "val": {image: annotation for image, annotation in images.items() if image in val},
    }
