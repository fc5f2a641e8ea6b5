"""How each format is read: a registry, so that nothing else asks which format a layer has."""

from collections.abc import Callable

from headrace_api.dataset import Format, Layer
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.formats import coco, coco_panoptic, image_folder, mask_png, yolo
from headrace_trainer.data.layer_data import LayerData
from headrace_trainer.data.problems import Problems

Reader = Callable[[Layer, DatasetFiles, Problems], LayerData]

READERS: dict[Format, Reader] = {
    "yolo": yolo.read,
    "coco": coco.read,
    "coco-panoptic": coco_panoptic.read,
    "mask-png": mask_png.read,
    "image-folder": image_folder.read,
}


def read_layer(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """All splits of `layer`.

    Broken annotations are counted in `problems` and left out; FatalError(BAD_DATASET) where the layer as a whole cannot be read.
    """
    return READERS[layer.format](layer, files, problems)
