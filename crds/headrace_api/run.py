"""`run.json` and `curves.json` of a run folder: all that a list or a comparison shows of a run, in two small objects.

A reader copes with anything missing: an attempt may have been cut off, and an older version wrote fewer fields. So every field of a
run but its names has a default, and fields that a reader does not know are ignored.
"""

from typing import Final, Literal

from pydantic import ConfigDict, Field

from headrace_api.fields import Model, Timestamp
from headrace_api.names import State
from headrace_api.tasks import Task
from headrace_api.trainingjob import Better

RUN_VERSION: Final = 1
"""Raised when a reader of an earlier version would misunderstand a field."""


class Record(Model):
    """A part of what a run folder records; unlike a TrainingJob, it may come from a newer version."""

    model_config = ConfigDict(extra="ignore")


class AttemptRecord(Record):
    """One attempt."""

    number: int = Field(ge=1, description="Its number, from 1.")
    started: Timestamp | None = Field(None, description="When its trainer started.")
    ended: Timestamp | None = Field(None, description="When it ended; absent while it runs, or if it was cut off.")
    state: State | None = Field(None, description="How it ended: Done, Stopped or Error; Running while it runs.")
    reason: str = Field("", description="Why it ended: one of the reasons, which a newer version may have more of.")
    message: str = Field("", description="For people: why it ended.")
    from_iteration: int = Field(0, ge=0, description="The iteration from which it continued.")
    iteration: int = Field(0, ge=0, description="Iterations done at its end, over all attempts.")


class LayerRecord(Record):
    """A layer of the dataset, as a head used it."""

    name: str
    task: Task
    images: dict[str, int] = Field(default_factory=dict, description="Annotated images by split: train and val.")
    objects: dict[str, int] = Field(default_factory=dict, description="Objects in them, or characters of text, by split.")
    classes: dict[str, dict[str, int]] = Field(
        default_factory=dict,
        description="By split and class, how many objects there are, or images if images are what is classified; as far as "
        "the annotations tell without opening masks. Without those that have none; of many classes, the most frequent.",
    )
    class_count: int = Field(0, ge=0, description="How many classes the layer has, including those that `classes` leaves out.")


class DatasetRecord(Record):
    """The dataset as it was when the attempt pulled it."""

    uri: str = Field(description="s3:// URI, or the folder.")
    digest: str = Field("", description="SHA-256 of its listing: keys, sizes and, in object storage, ETags.")
    files: int = Field(0, ge=0)
    bytes: int = Field(0, ge=0)
    images: dict[str, int] = Field(default_factory=dict, description="Images by split: train and val.")
    layers: list[LayerRecord] = Field(default_factory=list)


class ScoreRecord(Record):
    """One score of a head: the last value, and the best."""

    name: str
    better: Better | None = Field(None, description="Which values are better.")
    unit: str = Field("", description="Empty for shares and other plain numbers.")
    primary: bool = Field(False, description="Whether it is the head's main score.")
    last: float | None = None
    last_iteration: int | None = None
    best: float | None = None
    best_iteration: int | None = None


class HeadRecord(Record):
    """A head and its scores on the held-out images."""

    name: str
    task: Task | None = None
    scores: list[ScoreRecord] = Field(default_factory=list)


class Machine(Record):
    """What the attempt ran on, and with which software."""

    headrace: str = ""
    torch: str = ""
    cuda: str = Field("", description="The CUDA version that torch was built for; empty on a CPU.")
    device: str = Field("", description="Name of the GPU, or of the CPU.")
    gpus: int = Field(0, ge=0)
    image: str = Field("", description="The trainer image, if the pod says it.")


class PictureRecord(Record):
    """A held-out image that evaluations draw, always the same ones."""

    head: str
    image: str = Field(description="Its path in the dataset.")
    file: str = Field(description="Its name in pictures/<iteration>/<head>/ and, with the labels drawn, in pictures/truth/<head>/.")
    truth: bool = Field(False, description="Whether there is a picture of the labels.")


class Files(Record):
    """What the run folder holds; keys below it."""

    latest: str | None = Field(None, description="The last complete checkpoint's folder.")
    latest_iteration: int | None = None
    best: str | None = Field(None, description="The best checkpoint's folder.")
    best_iteration: int | None = None
    model: bool = Field(False, description="Whether model/ has the trained model.")


class Run(Record):
    """`run.json`: rewritten when an attempt starts, at every checkpoint, after every evaluation, and at the end."""

    version: Literal[1] = RUN_VERSION
    job: str
    namespace: str
    project: str
    uid: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    description: str = ""
    duplicated_from: str = Field("", description="The job or run folder that this one is a copy of.")
    continued_from: str = Field("", description="The weights that the first attempt started from.")
    state: State | None = Field(None, description="Starting, Running, Done, Stopped or Error, as the last attempt knew it.")
    reason: str = ""
    message: str = ""
    submitted: Timestamp | None = Field(None, description="When the job was created.")
    started: Timestamp | None = Field(None, description="When the first attempt started.")
    running: Timestamp | None = Field(None, description="When the first iteration was done.")
    ended: Timestamp | None = Field(None, description="When the last attempt ended.")
    updated: Timestamp | None = Field(None, description="When this file was written.")
    attempts: list[AttemptRecord] = Field(default_factory=list)
    iteration: int = Field(0, ge=0)
    max_iterations: int = Field(0, ge=0)
    trained_seconds: float = Field(0, ge=0)
    images_per_second: float | None = None
    machine: Machine = Field(default_factory=Machine)
    dataset: DatasetRecord | None = None
    heads: list[HeadRecord] = Field(default_factory=list)
    pictures: list[PictureRecord] = Field(default_factory=list)
    pictured: list[int] = Field(default_factory=list, description="The iterations whose evaluations drew them.")
    files: Files = Field(default_factory=Files)


class Curves(Record):
    """Points of one kind of report; all lists are equally long.

    A point stands for all reports since the one before: their mean, least and most value, so that no peak is lost.
    """

    iterations: list[int] = Field(default_factory=list)
    seconds: list[float] = Field(default_factory=list, description="Seconds of training at each point, over all attempts.")
    mean: dict[str, list[float | None]] = Field(default_factory=dict)
    least: dict[str, list[float | None]] = Field(default_factory=dict)
    most: dict[str, list[float | None]] = Field(default_factory=dict)


class RunCurves(Record):
    """`curves.json`: all attempts, at most 2,000 points a series."""

    version: Literal[1] = RUN_VERSION
    losses: Curves = Field(default_factory=Curves, description='By "<head>/<term>", and "total".')
    scores: Curves = Field(default_factory=Curves, description='By "<head>/<metric>", and "primary".')
