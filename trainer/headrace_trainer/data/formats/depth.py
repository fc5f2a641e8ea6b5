"""Depth maps, one per image: PNGs of 8 or 16 bits, or NumPy's NPY, whose values times the layer's `scale` are the depth.

An image's map has its stem and its size. 0, negative values, NaN and infinity mean that the depth is unknown. Maps are read when
needed: opening a dataset only lists the files.
"""

from headrace_api.dataset import Layer
from headrace_trainer.data.annotations import Annotation, DepthFile
from headrace_trainer.data.annotations.class_table import ClassTable
from headrace_trainer.data.files import DatasetFiles
from headrace_trainer.data.layer_data import LayerData, Source, sources
from headrace_trainer.data.problems import BadSampleError, Problems


def read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """List the maps of each split."""
    return LayerData(ClassTable((), ()), {source.split: _list_maps(source) for source in sources(layer, files, problems)})


def _list_maps(source: Source) -> dict[str, Annotation]:
    maps: dict[str, Annotation] = {}
    for name in source.list_files((".png", ".npy"), "depth map"):
        try:
            maps[source.image_for(name, name)] = DepthFile(source.files.path(name), name, source.layer.scale)
        except BadSampleError as problem:
            source.problems.bad(name, problem)
    return maps
