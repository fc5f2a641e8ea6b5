"""How an attempt ends, and the deadline of its last upload."""

import time
from dataclasses import dataclass
from typing import Protocol

from headrace_api.errors import FatalError, TrainerError
from headrace_api.names import ExitCode, Reason
from headrace_api.report import Verdict
from headrace_storage.stop import Stop
from headrace_storage.unusable_folder import NO_SPACE
from headrace_trainer.protocol import Ended

_ERROR_SECONDS = 60.0
"""How long a failed attempt's last log may take to upload, once its last checkpoint is safe."""
_ERROR_OF_STORAGE_SECONDS = 5.0
"""The same if storage itself failed."""
_HURRY_SECONDS = 2.0
"""The same after a second SIGTERM."""
_SHARE_FOR_UPLOADS = 0.95
"""Share of the grace period for uploads; the rest is for the wipe."""


@dataclass(frozen=True)
class Ending:
    """The verdict, before it is known how much could be uploaded."""

    verdict: Verdict
    reason: Reason
    message: str
    exit_code: ExitCode

    @classmethod
    def from_worker(cls, ended: Ended) -> "Ending":
        """The ending that the worker reported."""
        if ended.verdict is not Verdict.ERROR:
            return cls(ended.verdict, ended.reason, ended.message, ExitCode.OK)
        return cls(ended.verdict, ended.reason, ended.message, ExitCode.RETRY if ended.retry else ExitCode.FATAL)

    @classmethod
    def from_error(cls, error: BaseException) -> "Ending":
        """FatalErrors are final; other errors, including our own bugs, may be retried."""
        if isinstance(error, TrainerError):
            code = ExitCode.FATAL if isinstance(error, FatalError) else ExitCode.RETRY
            return cls(Verdict.ERROR, error.reason, error.message, code)
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            message = f"the workspace's disk is full ({error}): raise spec.resources.workspace"
            return cls(Verdict.ERROR, Reason.DISK_FULL, message, ExitCode.RETRY)
        message = f"the supervisor crashed: {type(error).__name__}: {error}"
        return cls(Verdict.ERROR, Reason.TRAINER_CRASHED, message, ExitCode.RETRY)

    @classmethod
    def stopped(cls, message: str) -> "Ending":
        """Stopped by SIGTERM without a report from the worker. The operator knows who asked for it, and why."""
        return cls(Verdict.STOPPED, Reason.INTERRUPTED, message, ExitCode.OK)


class Moving(Protocol):
    """Uploads as the deadline sees them."""

    @property
    def files_pending(self) -> bool:
        """Whether files wait or are being uploaded."""

    @property
    def last_sent_at(self) -> float:
        """`time.monotonic()` when a byte last left; 0 before the first."""


class UploadDeadline:
    """The time (monotonic seconds) by which uploads must finish after an attempt has ended. A SIGTERM brings it forward.

    A checkpoint or model still uploading is worth waiting for, however the attempt ended; an error's log less so.
    """

    def __init__(self, ending: Ending, patience_seconds: float, stop: Stop, grace_seconds: float, uploads: "Moving") -> None:
        self._stop = stop
        self._grace_seconds = grace_seconds
        self._uploads = uploads
        now = time.monotonic()
        self._hurry = now + _HURRY_SECONDS
        self._patience_seconds = patience_seconds
        self._began = now
        self._files_seen = now
        """When files were last seen uploading; the time for records counts from there."""
        self._records_seconds = patience_seconds
        if ending.verdict is Verdict.ERROR:
            of_storage = ending.reason in {Reason.STORAGE_REFUSED, Reason.STORAGE_UNAVAILABLE}
            self._records_seconds = min(patience_seconds, _ERROR_OF_STORAGE_SECONDS if of_storage else _ERROR_SECONDS)

    def __call__(self) -> float:
        if self._uploads.files_pending:
            self._files_seen = time.monotonic()
            # A slow line may take as long as it needs, as long as bytes move.
            limits = [max(self._began, self._uploads.last_sent_at) + self._patience_seconds]
        else:
            limits = [self._files_seen + self._records_seconds]
        if self._stop.requested:
            limits.append(self._stop.requested_at + self._grace_seconds * _SHARE_FOR_UPLOADS)
        if self._stop.hurry:
            limits.append(self._hurry)
        return min(limits)
