"""A folder a class: `<split's folder>/<class>/…/<image>`. The folders' names are the classes, unless dataset.json names them.

The images are the files themselves, wherever the folder lies. Without `classes` in dataset.json the table is the sorted names of
the folders of all splits.
"""

from headrace_api.dataset import Layer
from headrace_trainer.data.annotations import Annotation, ImageLabel
from headrace_trainer.data.classes import ClassTable
from headrace_trainer.data.files import DatasetFiles, is_image
from headrace_trainer.data.layer_data import LayerData, Source, bad_layer, class_table, sources
from headrace_trainer.data.problems import Problems


def read(layer: Layer, files: DatasetFiles, problems: Problems) -> LayerData:
    """List the images of each class's folder. A folder that is no class of the table is an error: it may be a misspelt one."""
    folders = {source.split: _class_folders(source) for source in sources(layer, files, problems)}
    found = sorted({class_name for by_class in folders.values() for class_name in by_class})
    table = class_table(layer, files) or ClassTable.of(dict(enumerate(found)))
    if unknown := sorted(set(found) - set(table.names)):
        raise bad_layer(layer, f"folders that are no class: {', '.join(unknown)}; the classes are: {', '.join(table.names)}")
    return LayerData(table, {split: _list_images(by_class, table, files) for split, by_class in folders.items()})


def _class_folders(source: Source) -> dict[str, str]:
    """Folder by class."""
    root = source.folder()
    names = sorted(entry.name for entry in source.files.path(root).iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise bad_layer(source.layer, f"expected a folder for each class; {source.files.inside(root)}")
    return {name: f"{root}/{name}" for name in names}


def _list_images(folders: dict[str, str], table: ClassTable, files: DatasetFiles) -> dict[str, Annotation]:
    return {
        image: ImageLabel(table.names.index(class_name))
        for class_name, folder in folders.items()
        for image in files.walk(folder)
        if is_image(image)
    }
