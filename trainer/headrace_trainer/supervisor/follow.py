"""Follows the worker until it ends, and stops it on request."""

import queue
import signal
import time
from dataclasses import dataclass
from typing import assert_never

from pydantic.alias_generators import to_camel

from headrace_api.environment import variable
from headrace_api.errors import RetryableError
from headrace_api.names import Reason
from headrace_api.report import Phase, Verdict
from headrace_storage.stop import Stop
from headrace_trainer.protocol import (
    Building,
    CurvesWritten,
    Ended,
    Evaluated,
    Evaluating,
    Exported,
    Message,
    Opened,
    Saved,
    Stepped,
)
from headrace_trainer.supervisor.board import Board
from headrace_trainer.supervisor.journal import Journal, utc_now
from headrace_trainer.supervisor.memory_kills import MemoryKills
from headrace_trainer.supervisor.progress import ProgressMeter
from headrace_trainer.supervisor.publish import Publisher
from headrace_trainer.supervisor.upload import Uploads
from headrace_trainer.supervisor.worker_process import KILLED_SECONDS, Event, Exited, WorkerProcess

_LOOK_SECONDS = 0.1
"""Pause between two checks for a stop request."""
_EXIT_SECONDS = 2.0
"""How long a worker may take to exit after its last message. Its results are on disk by then; only torch's shutdown is left."""


@dataclass
class Follower:
    """Follows one worker from `go` to its end."""

    worker: WorkerProcess
    meter: ProgressMeter
    uploads: Uploads
    publisher: Publisher
    board: Board
    journal: Journal
    stop: Stop
    memory_kills: MemoryKills
    grace_seconds: float
    silence_seconds: float

    def until_it_ends(self) -> Ended:
        """The worker's last message, or one made for it if it did not survive a stop.

        Raises RetryableError(TRAINER_CRASHED | OUT_OF_MEMORY) if the worker ended without a last message or was silent for too
        long, and the error of the uploads once they have failed for too long.
        """
        ended: Ended | None = None
        kill_at: float | None = None
        gone_by: float | None = None
        heard_at = time.monotonic()
        while True:
            event = self._next_event()
            match event:
                case None:
                    if kill_at is None and time.monotonic() - heard_at > self.silence_seconds:
                        raise self._silent()
                case Exited():
                    return ended or self._without_a_word(event.code)
                case Ended():
                    ended, kill_at = event, time.monotonic() + _EXIT_SECONDS
                case _:
                    heard_at = time.monotonic()
                    self._take_in(event)
            if self.stop.requested and kill_at is None:
                kill_at = self._ask_to_stop()
            if gone_by is not None and time.monotonic() >= gone_by:
                return ended or self._without_a_word(-signal.SIGKILL)
            if gone_by is None and kill_at is not None and (self.stop.hurry or time.monotonic() >= kill_at):
                if ended is None:
                    self.journal.say("the worker did not exit in time: killing it")
                self.worker.kill()
                gone_by = time.monotonic() + KILLED_SECONDS
            if self.uploads.error is not None and not self.stop.requested:
                raise self.uploads.error

    def _next_event(self) -> Event | None:
        try:
            return self.worker.events.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            return None

    def _ask_to_stop(self) -> float:
        """Pass SIGTERM on; returns the worker's deadline (monotonic), which leaves time to upload its checkpoint."""
        upload = 1.0 + 1.5 * self.publisher.upload_seconds
        reserve = min(self.grace_seconds / 2, max(self.grace_seconds / 10, upload))
        self.journal.say(f"asked to stop: the worker has {self.grace_seconds - reserve:.0f} s to finish its iteration and save it")
        self.board.show(Phase.ENDING, "asked to stop: saving a checkpoint")
        self.worker.terminate()
        return self.stop.requested_at + self.grace_seconds - reserve

    def _without_a_word(self, code: int) -> Ended:
        if self.stop.requested:
            return Ended(
                verdict=Verdict.STOPPED,
                reason=Reason.INTERRUPTED,
                message="the worker ended before it could save a checkpoint; the last complete one counts",
            )
        how = f"exit code {code}" if code >= 0 else f"signal {_signal_name(-code)}"
        last = self._last_lines()
        if code == -signal.SIGKILL:
            raise self._killed(last)
        raise RetryableError(Reason.TRAINER_CRASHED, f"the worker crashed ({how}); its last output: {last}")

    def _killed(self, last: str) -> RetryableError:
        """The worker got a SIGKILL that we did not send."""
        advice = "raise spec.resources.memory, or lower spec.training.batchSize or imageSize"
        match self.memory_kills.since_start():
            case None:
                reason, said = Reason.OUT_OF_MEMORY, f"most likely because memory ran out (the kernel does not tell here): {advice}"
            case 0:
                reason, said = Reason.TRAINER_CRASHED, "from outside: the kernel reports no out-of-memory kill"
            case _:
                reason, said = Reason.OUT_OF_MEMORY, f"by the kernel, because memory ran out: {advice}"
        return RetryableError(
            reason, f"the worker was killed (signal {_signal_name(signal.SIGKILL)}) {said}; its last output: {last}"
        )

    def _silent(self) -> RetryableError:
        self.worker.kill()
        return RetryableError(
            Reason.TRAINER_CRASHED,
            f"the worker sent no message for {self.silence_seconds:.0f} s and is assumed to hang "
            f"({variable('worker_silence_seconds')} sets this limit); its last output: {self._last_lines()}",
        )

    def _last_lines(self) -> str:
        return "\n".join(self.journal.worker_tail()) or "(none)"

    def _take_in(self, message: Message) -> None:
        match message:
            case Building():
                self.journal.worker_line(message.message)
                if not self.board.ready:  # later it is only a remark, for example about an unreadable image
                    self._show(Phase.BUILDING, message.message)
            case Stepped():
                self._take_in_step(message)
            case Evaluating():
                self._show(Phase.EVALUATING, f"evaluated {message.images_done:,} of {message.images:,} images")
            case Evaluated():
                self._take_in_scores(message)
            case CurvesWritten():
                self.publisher.curves(message)
            case Saved():
                self.uploads.record.progressed(self.meter)
                self.publisher.saved(message, self.meter)
            case Exported():
                self._show(Phase.EXPORTING, "uploading the trained model")
                self.publisher.exported(message)
                self.publisher.files(message.pictures)
            case Opened():
                self.uploads.record.opened(message)
            case Ended():
                pass
            case _:
                assert_never(message)

    def _take_in_step(self, message: Stepped) -> None:
        self.meter.stepped(message)
        self.board.show_progress(self.meter)
        self.board.metrics.stepped(message)
        if not self.board.ready:
            self.uploads.record.progressed(self.meter, message.images_per_second)
        self.board.mark_ready()
        self._record(message)
        progress = self.board.progress
        loss = message.losses.get("total")
        self._show(
            Phase.TRAINING,
            f"iteration {progress.iteration:,} of {progress.max_iterations:,}"
            + ("" if loss is None else f", loss {loss:.4g}")
            + f", {message.images_per_second:.1f} images/s",
        )

    def _take_in_scores(self, message: Evaluated) -> None:
        self.meter.evaluated(message)
        self.board.show_progress(self.meter)
        self.board.metrics.evaluated(message)
        self.uploads.record.progressed(self.meter)
        self.uploads.record.evaluated(message)
        self._record(message)
        self.publisher.pictures(message)
        scores = ", ".join(f"{score.head} {score.name} {score.value:.4f}" for score in message.scores)
        self.journal.say(f"scores at iteration {message.iteration:,}: {scores}")

    def _show(self, phase: Phase, text: str) -> None:
        if not self.stop.requested:  # after that the phase stays Ending, whatever the worker still does
            self.board.show(phase, text)

    def _record(self, message: Stepped | Evaluated) -> None:
        fields = message.model_dump(mode="json", exclude={"type", "pictures"})
        self.uploads.report({"time": utc_now(), **{to_camel(name): value for name, value in fields.items()}})


def _signal_name(number: int) -> str:
    try:
        return f"{number}, {signal.Signals(number).name}"
    except ValueError:
        return str(number)
