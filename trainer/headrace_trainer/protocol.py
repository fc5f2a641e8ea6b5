"""The protocol between supervisor and worker.

The supervisor starts the worker with a plan (a JSON file) and an inherited pipe; the worker writes one message per line to that
pipe. After that the supervisor only ever sends SIGTERM: "finish this iteration, save a checkpoint, send Ended, exit". Paths in
messages are relative to the plan's `output_dir`; the files they name are complete when the message is sent.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from headrace_api.names import Reason
from headrace_api.report import Verdict
from headrace_api.run import HeadRecord, LayerRecord, Machine, PictureRecord
from headrace_api.trainingjob import MetricValue, TrainingJob

ENV_MESSAGES_FD: Final = "HEADRACE_MESSAGES_FD"
"""Number of the file descriptor to which the worker writes its messages."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Plan(_Message):
    """Everything a worker needs to know. Its environment holds no secrets."""

    job: TrainingJob
    dataset_dir: Path
    """Root of the dataset on local disk; read only."""
    output_dir: Path
    """Receives checkpoints/, model/, pictures/ and curves.json, laid out as in the run folder (headrace_api.runfolder)."""
    resume_from: Path | None = None
    """Folder of the checkpoint to resume from."""
    initial_weights: Path | None = None
    """Weights to start from if there is no checkpoint: an earlier job's model/ folder, or a file of backbone weights."""
    threads: int = Field(ge=1)
    """Cores to use, including data loading."""


class Building(_Message):
    """The worker reads annotations, builds the network, or draws its first batch."""

    type: Literal["building"] = "building"
    message: str


class Opened(_Message):
    """The dataset is read and the network is built. Sent once, before the first Stepped."""

    type: Literal["opened"] = "opened"
    images: dict[str, int]
    """Images by split: train and val."""
    layers: list[LayerRecord]
    heads: list[HeadRecord]
    """Names and tasks; no scores yet."""
    machine: Machine
    """As far as the worker knows it: torch, CUDA, device, GPUs."""


class Stepped(_Message):
    """Sent about once a second while training, and immediately after the first iteration (it makes the trainer Ready).

    Sent once, without losses, if earlier attempts did all iterations or left an evaluation to do first.
    """

    type: Literal["stepped"] = "stepped"
    iteration: int
    trained_seconds: float
    """Seconds of training (evaluation included) over all attempts."""
    losses: dict[str, float]
    """Means since the last message, by "<head>/<term>", and "total". A head's terms cover the iterations in which it had labels and
    are absent if there were none."""
    loss_weights: dict[str, float] = {}
    """Factors of the heads' losses, if they are learnt."""
    learning_rate: float
    gradient_norm: float
    images_per_second: float
    data_wait_share: float
    """Share of the time since the last message spent waiting for data, 0 to 1."""
    device_memory_bytes: int


class Evaluating(_Message):
    """An evaluation has started or is in progress."""

    type: Literal["evaluating"] = "evaluating"
    iteration: int
    images_done: int
    images: int


class Evaluated(_Message):
    """Scores on the held-out split, and pictures of some predictions.

    The files are at `runfolder.picture(iteration, …)`, and those of the labels at `runfolder.truth_picture(…)`, where they stay the
    same for the whole attempt.
    """

    type: Literal["evaluated"] = "evaluated"
    iteration: int
    scores: list[MetricValue]
    pictures: list[PictureRecord]
    """Empty if this evaluation draws none: in a long run, not every one does."""


class CurvesWritten(_Message):
    """`runfolder.CURVES` is new: after an evaluation, and with each checkpoint. It may be replaced at any time, in one piece."""

    type: Literal["curvesWritten"] = "curvesWritten"
    file: Path


class Saved(_Message):
    """A complete checkpoint is in `folder`. `best`: no earlier one scored higher."""

    type: Literal["saved"] = "saved"
    iteration: int
    folder: Path
    best: bool


class Exported(_Message):
    """The complete trained model is in `folder`, and pictures of the whole training are drawn."""

    type: Literal["exported"] = "exported"
    folder: Path
    pictures: list[Path] = []


class Ended(_Message):
    """The last message. A worker that ends without it has crashed."""

    type: Literal["ended"] = "ended"
    verdict: Verdict
    reason: Reason
    message: str = ""
    retry: bool = False
    """For an error: whether another attempt may succeed."""


Message = Annotated[
    Building | Opened | Stepped | Evaluating | Evaluated | CurvesWritten | Saved | Exported | Ended,
    Field(discriminator="type"),
]

MESSAGE: Final[TypeAdapter[Message]] = TypeAdapter(Message)
"""Parses a line: `MESSAGE.validate_json(line)`."""
