"""`dataset.json`: what is where in a dataset whose files stay in the formats people already have them."""

from typing import Literal

from pydantic import Field, model_validator

from headrace_api.fields import Model
from headrace_api.tasks import Task

MANIFEST = "dataset.json"

Format = Literal["yolo", "coco", "coco-panoptic", "mask-png", "image-folder"]

FORMATS: dict[Format, tuple[Task, ...]] = {
    "yolo": (Task.OBJECT_DETECTION, Task.INSTANCE_SEGMENTATION),
    "coco": (Task.OBJECT_DETECTION, Task.INSTANCE_SEGMENTATION),
    "coco-panoptic": (Task.PANOPTIC_SEGMENTATION,),
    "mask-png": (Task.SEMANTIC_SEGMENTATION,),
    "image-folder": (Task.MULTICLASS_CLASSIFICATION,),
}
"""Which tasks' annotations each format can hold."""


class Layer(Model):
    """One kind of annotation of (some of) the images.

    An image that a layer lists without objects is a negative; one that it does not list is unlabelled for it.
    """

    name: str = Field(min_length=1, max_length=253, description="What heads refer to.")
    task: Task = Field(description="What the annotations hold.")
    format: Format = Field(description="How they are written.")
    splits: dict[Literal["train", "val"], str] = Field(
        min_length=1,
        description="Where each split's annotations are, relative to the dataset's root: a folder, or a COCO JSON file.",
    )
    masks: dict[Literal["train", "val"], str] = Field(
        default_factory=dict,
        description="coco-panoptic only: the folder of each split's PNGs. Default: the JSON file's path without .json.",
    )
    classes: str | list[str] | dict[int, str] | None = Field(
        None,
        description="Class names: in order, by id, or a YAML/JSON file with `names`. COCO files and image folders carry their own.",
    )
    ignore: int | None = Field(None, ge=0, description="mask-png: the pixel value that is not to be learnt from.")

    @model_validator(mode="after")
    def _format_holds_task(self) -> "Layer":
        if self.task not in FORMATS[self.format]:
            can = " or ".join(task.value for task in FORMATS[self.format])
            raise ValueError(f"layer '{self.name}': format {self.format} holds {can}, not {self.task.value}")
        return self


class Manifest(Model):
    """The whole of dataset.json."""

    version: Literal[1] = Field(description="Of this format.")
    images: str = Field("images/", description="Folder of the images, relative to the dataset's root.")
    layers: list[Layer] = Field(
        default_factory=list, max_length=64, description="The annotations. None: for self-supervised heads alone."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> "Manifest":
        names = [layer.name for layer in self.layers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two layers share a name: {', '.join(twice)}")
        return self
