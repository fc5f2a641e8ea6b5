"""`dataset.json`: says what is where in a dataset. The files stay in their usual formats.

Tables, `csv` (a header row, then one row per image) and `jsonl` (one object per image), name the image in `image`: its path from
the dataset's root, or as the other formats name images. They also have, depending on the task:

    multiclass-classification   label
    multilabel-classification   labels: in CSV separated by ";", empty if there are none; in JSON a list
    metric-learning             identity
    regression                  a column or key for each of the layer's `values`; empty or null if a value is unknown
    text-recognition            text
    anomaly-detection           anomalous: true or false; optionally mask: path of a PNG from the root, nonzero where anomalous
    quadrilateral-detection     in CSV one row per quadrilateral with x1, y1, … x4, y4 (pixels, clockwise from the text's start),
                                class, ignore (true, false or missing), and a row without numbers for an image that has none; in
                                JSON quads, a list of objects with points [[x, y], …], class and ignore

A table of several splits has a column `split` (train, val, test). The layer's `columns` maps standard column names to yours.
"""

from typing import Literal

from pydantic import Field, model_validator

from headrace_api.fields import Model
from headrace_api.tasks import Task

MANIFEST = "dataset.json"

Format = Literal["yolo", "coco", "coco-panoptic", "mask-png", "image-folder", "voc", "csv", "jsonl", "depth", "icdar"]

Part = Literal["train", "val", "all"]
"""The split that a file or folder holds; Headrace splits "all" itself."""

_Named = Literal["image", "split", "label", "labels", "identity", "text", "anomalous", "mask", "class", "ignore", "quads"]
_Corner = Literal["x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"]
Column = _Named | _Corner

_OF_TABLES = (
    Task.MULTICLASS_CLASSIFICATION,
    Task.MULTILABEL_CLASSIFICATION,
    Task.METRIC_LEARNING,
    Task.REGRESSION,
    Task.TEXT_RECOGNITION,
    Task.ANOMALY_DETECTION,
    Task.QUADRILATERAL_DETECTION,
)

FORMATS: dict[Format, tuple[Task, ...]] = {
    "yolo": (Task.OBJECT_DETECTION, Task.INSTANCE_SEGMENTATION, Task.KEYPOINT_DETECTION, Task.QUADRILATERAL_DETECTION),
    "coco": (Task.OBJECT_DETECTION, Task.INSTANCE_SEGMENTATION, Task.KEYPOINT_DETECTION),
    "coco-panoptic": (Task.PANOPTIC_SEGMENTATION,),
    "mask-png": (Task.SEMANTIC_SEGMENTATION,),
    "image-folder": (Task.MULTICLASS_CLASSIFICATION, Task.METRIC_LEARNING, Task.ANOMALY_DETECTION),
    "voc": (Task.OBJECT_DETECTION,),
    "csv": _OF_TABLES,
    "jsonl": _OF_TABLES,
    "depth": (Task.DEPTH_ESTIMATION,),
    "icdar": (Task.QUADRILATERAL_DETECTION,),
}
"""Which tasks' annotations each format can hold."""

_FORMATS_OF: dict[str, tuple[Format, ...]] = {
    "masks": ("coco-panoptic", "image-folder"),
    "ignore": ("mask-png",),
    "columns": ("csv", "jsonl"),
    "scale": ("depth",),
}
_TASKS_OF: dict[str, tuple[Task, ...]] = {
    "values": (Task.REGRESSION,),
    **dict.fromkeys(("keypoints", "mirrored", "skeleton", "sigmas"), (Task.KEYPOINT_DETECTION,)),
    "alphabet": (Task.TEXT_RECOGNITION,),
}
"""The tasks that use a field. Other tasks refuse it, because a user who sets it expects an effect."""


class Layer(Model):
    """One kind of annotation for some or all images.

    An image that a layer lists without objects is a negative; an image that it does not list is unlabelled for it.
    """

    name: str = Field(min_length=1, max_length=253, description="Name that heads refer to.")
    task: Task = Field(description="Task of the annotations.")
    format: Format = Field(description="Format of the annotation files.")
    splits: dict[Part, str] = Field(
        min_length=1,
        description="A folder or file for each split's annotations, relative to the dataset's root. With `all` instead of `train` "
        "and `val`, the images are divided by a hash of their paths; see `valShare`.",
    )
    masks: dict[Part, str] = Field(
        default_factory=dict,
        description="coco-panoptic: the folder of each split's PNGs; default: the JSON file's path without .json. image-folder for "
        "anomaly detection: the folder of masks; default: `ground_truth` next to the split's folder.",
    )
    classes: str | list[str] | dict[int, str] | None = Field(
        None,
        description="Class names: a list, a map from ids, or a file: YAML or JSON with `names`, or text with one name per line. "
        "COCO files and image folders have their own.",
    )
    ignore: int | None = Field(None, ge=0, description="mask-png: the pixel value that is neither trained on nor scored.")
    columns: dict[Column, str] = Field(
        default_factory=dict,
        description="csv, jsonl: maps standard column names to yours: {image: filename, label: breed}.",
    )
    values: list[str] = Field(
        default_factory=list,
        max_length=256,
        description="regression: names of the numbers: columns or keys of the files. Default: all except image and split.",
    )
    keypoints: list[str] = Field(
        default_factory=list,
        max_length=256,
        description="keypoint-detection: names, in order. COCO files have their own, a YOLO `data.yaml` may.",
    )
    mirrored: list[int] | None = Field(
        None,
        description="keypoint-detection: for each keypoint, its index (from 0) in a mirrored image. Default: by name; `left` and "
        "`right`, or `l` and `r`, swap.",
    )
    skeleton: list[list[int]] = Field(
        default_factory=list,
        description="keypoint-detection: pairs of indices (from 0) to connect in pictures. COCO files have their own.",
    )
    sigmas: list[float] | None = Field(
        None,
        description="keypoint-detection: OKS constants, how much annotators differ on each keypoint. Default: COCO's for COCO's "
        "keypoints, otherwise 0.05.",
    )
    alphabet: str | None = Field(None, description="text-recognition: the characters to recognise. Default: those that occur.")
    scale: float = Field(1.0, gt=0, description="depth: factor for the values in the files (0.001: millimetres to metres).")

    @model_validator(mode="after")
    def _format_holds_task(self) -> "Layer":
        if self.task not in FORMATS[self.format]:
            can = " or ".join(task.value for task in FORMATS[self.format])
            raise ValueError(f"layer '{self.name}': format {self.format} holds {can}, not {self.task.value}")
        return self

    @model_validator(mode="after")
    def _all_alone(self) -> "Layer":
        if "all" in self.splits and len(self.splits) > 1:
            raise ValueError(f"layer '{self.name}': splits has either 'all', which Headrace divides, or 'train' and 'val'")
        return self

    @model_validator(mode="after")
    def _fields_mean_something(self) -> "Layer":
        for field in sorted(self.model_fields_set):
            formats, tasks = _FORMATS_OF.get(field, ()), _TASKS_OF.get(field, ())
            if (formats and self.format not in formats) or (tasks and self.task not in tasks):
                can = " and ".join([*formats, *(task.value for task in tasks)])
                raise ValueError(f"layer '{self.name}': '{field}' is for {can}; this is {self.task.value} as {self.format}")
        return self


class Manifest(Model):
    """The whole of dataset.json."""

    version: Literal[1] = Field(description="Version of this format.")
    images: str = Field("images/", description="Folder of the images, relative to the dataset's root.")
    val_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of images to validate on when the dataset defines no split; a hash of the paths picks them.",
    )
    layers: list[Layer] = Field(
        default_factory=list, max_length=64, description="The annotations. Empty: for self-supervised heads only."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> "Manifest":
        names = [layer.name for layer in self.layers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two layers share a name: {', '.join(twice)}")
        return self
