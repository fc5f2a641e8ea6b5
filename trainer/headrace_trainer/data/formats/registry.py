"""How each format is read: a registry, so that nothing else asks which format a layer has."""

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
    """The files of a dataset; masks and depth maps, whose files are images too, are none of its images."""
    return DatasetFiles(root, manifest.images, {folder for layer in manifest.layers for folder in folders_of_maps(layer)})


def folders_of_maps(layer: Layer) -> Iterator[str]:
    """Folders that hold annotations which look like images."""
    yield from layer.masks.values()
    for place in layer.splits.values():
        if layer.format in {"mask-png", "depth"}:
            yield place
        elif layer.format == "coco-panoptic":
            yield coco_panoptic.beside(place)
        elif layer.task is Task.ANOMALY_DETECTION and layer.format == "image-folder":
            yield image_folder.beside(place)


def read_layer(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """All images of `layer`, as its files divide them.

    Broken annotations are counted in `problems` and left out; FatalError(BAD_DATASET) where the layer as a whole cannot be read, or
    where two of its classes have one name: tables and predictions tell classes apart by it.
    """
    data = _read(layer, files, problems)
    if (alike := data.classes.of_one_name()) is not None:
        one, other, name = alike
        raise bad_layer(layer, f"classes {one} and {other} are both called '{name}'; expected a name of its own for each class")
    return data


def _read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """What the reader of its format makes of `layer`. Files are hostile: what a reader did not think of is their fault, too."""
    try:
        return READERS[layer.format](layer, files, problems)
    except FatalError:
        raise
    except Exception as error:
        if is_of_the_machine(error):
            raise
        read = ", ".join(layer.splits.values())
        raise bad_layer(layer, f"its annotations ({read}) are not understood: {type(error).__name__}: {error}") from error


def divided(layers: Mapping[str, LayerData], val_share: float) -> dict[str, LayerData]:
    """`layers` with train and val only: of the images that those with "all" have between them, a share goes to val."""
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
