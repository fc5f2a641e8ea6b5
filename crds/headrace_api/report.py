"""What a trainer tells the operator: while it works (`GET /status`), and once when it ends (the termination message)."""

from enum import StrEnum

from pydantic import Field

from headrace_api.fields import Model
from headrace_api.names import Reason
from headrace_api.trainingjob import Checkpoint, Progress

TERMINATION_MESSAGE_BYTES = 4096
"""Bytes of a termination message that a kubelet keeps."""


class Phase(StrEnum):
    """What a trainer is doing."""

    PULLING = "Pulling"
    BUILDING = "Building"
    TRAINING = "Training"
    EVALUATING = "Evaluating"
    EXPORTING = "Exporting"
    ENDING = "Ending"


class TrainerStatus(Model):
    """The body of `GET /status`."""

    phase: Phase
    message: str = Field("", description='For people: "dataset: 1,204 of 3,000 files".')
    progress: Progress
    checkpoint: Checkpoint | None = None


class Verdict(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    STOPPED = "stopped"
    ERROR = "error"


class Outcome(Model):
    """The termination message (one line of JSON, at most 4,096 bytes) and `outcome.json` of the run folder."""

    outcome: Verdict
    reason: Reason
    message: str = ""
    progress: Progress
    checkpoint: Checkpoint | None = None

    def to_termination_message(self) -> str:
        """One line that fits what a kubelet keeps; if it is too long, scores are dropped, then the end of the message."""
        line = self.model_dump_json(by_alias=True, exclude_none=True)
        if len(line.encode()) <= TERMINATION_MESSAGE_BYTES:
            return line
        short = self.model_copy(update={"progress": self.progress.model_copy(update={"metrics": []})})
        line = short.model_dump_json(by_alias=True, exclude_none=True)
        message = self.message
        while len(line.encode()) > TERMINATION_MESSAGE_BYTES and message:
            message = message[: len(message) * 3 // 4]
            line = short.model_copy(update={"message": message + "…"}).model_dump_json(by_alias=True, exclude_none=True)
        return line
