"""What supervisor and worker say to each other.

The supervisor starts the worker with a plan (a JSON file) and an inherited pipe; the worker answers with one message a line on that
pipe. The only thing the supervisor says later is SIGTERM: "finish this iteration, snapshot, say Ended, exit".
Paths in messages are relative to the plan's `output_dir`; what they name is complete when the message is sent.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from headrace_api.names import Reason
from headrace_api.report import Verdict
from headrace_api.trainingjob import MetricValue, TrainingJob

ENV_MESSAGES_FD: Final = "HEADRACE_MESSAGES_FD"
"""Number of the file descriptor the worker writes its messages to."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Plan(_Message):
    """All that a worker needs to know. Its environment holds no secret."""

    job: TrainingJob
    dataset_dir: Path
    """Root of the dataset on local disk; read only."""
    output_dir: Path
    """Takes checkpoints/, model/ and pictures/, laid out as in the run folder (headrace_api.runfolder)."""
    resume_from: Path | None = None
    """Folder of the checkpoint to go on from."""
    initial_weights: Path | None = None
    """Weights to begin with where there is no checkpoint: the model/ folder of an earlier job, or a file of a backbone's."""
    threads: int = Field(ge=1)
    """Cores to compute with; data loading included."""


class Building(_Message):
    """The worker reads annotations, builds the network, or draws its first batch."""

    type: Literal["building"] = "building"
    message: str


class Stepped(_Message):
    """Sent about once a second while training, and after the first iteration at once (it makes the trainer Ready).

    Once and without losses where earlier attempts have done all iterations, or have left an evaluation to be made first.
    """

    type: Literal["stepped"] = "stepped"
    iteration: int
    trained_seconds: float
    """Seconds of training (evaluation included) over all attempts."""
    losses: dict[str, float]
    """Mean since the last message, by "<head>/<term>", and "total". Those of a head are over the iterations in which it had labels,
    and not there where it had none."""
    loss_weights: dict[str, float] = {}
    """Learnt factors of the heads' losses, where they are learnt."""
    learning_rate: float
    gradient_norm: float
    images_per_second: float
    data_wait_share: float
    """Share of the time since the last message spent waiting for data, 0 to 1."""
    device_memory_bytes: int


class Evaluating(_Message):
    """An evaluation has begun, or goes on."""

    type: Literal["evaluating"] = "evaluating"
    iteration: int
    images_done: int
    images: int


class Evaluated(_Message):
    """Scores on the held-out split, and pictures of some predictions."""

    type: Literal["evaluated"] = "evaluated"
    iteration: int
    scores: list[MetricValue]
    pictures: list[Path]


class Saved(_Message):
    """A checkpoint lies complete in `folder`. `best`: no earlier one scored higher."""

    type: Literal["saved"] = "saved"
    iteration: int
    folder: Path
    best: bool


class Exported(_Message):
    """The trained model lies complete in `folder`, and pictures of the whole training are drawn."""

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
    """For an error: whether another attempt may not meet it."""


Message = Annotated[
    Building | Stepped | Evaluating | Evaluated | Saved | Exported | Ended,
    Field(discriminator="type"),
]

MESSAGE: Final[TypeAdapter[Message]] = TypeAdapter(Message)
"""Parses a line: `MESSAGE.validate_json(line)`."""
