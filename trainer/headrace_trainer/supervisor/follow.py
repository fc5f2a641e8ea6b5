"""Listening to the worker until it ends, and ending it when that is asked for."""

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
from headrace_trainer.protocol import Building, Ended, Evaluated, Evaluating, Exported, Message, Saved, Stepped
from headrace_trainer.supervisor.board import Board
from headrace_trainer.supervisor.journal import Journal, utc_now
from headrace_trainer.supervisor.progress import ProgressMeter
from headrace_trainer.supervisor.publish import Publisher
from headrace_trainer.supervisor.upload import Uploads
from headrace_trainer.supervisor.worker_process import KILLED_SECONDS, Event, Exited, WorkerProcess

_LOOK_SECONDS = 0.1
"""Between two looks at whether the end was asked for."""
_EXIT_SECONDS = 2.0
"""How long a worker may take to exit after its last message. All it made is on disk by then; what is left is tearing torch down."""


@dataclass
class Follower:
    """One worker's story, from `go` to its end."""

    worker: WorkerProcess
    meter: ProgressMeter
    uploads: Uploads
    publisher: Publisher
    board: Board
    journal: Journal
    stop: Stop
    grace_seconds: float
    silence_seconds: float

    def until_it_ends(self) -> Ended:
        """What the worker said last, or what follows from a stop that it did not survive.

        Raises RetryableError(TRAINER_CRASHED | OUT_OF_MEMORY) for a worker that ended without a word, or said none for too long,
        and what made uploads fail beyond their limit.
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
                    self.journal.say("the worker did not end in time and is killed")
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
        """Pass SIGTERM on; returns until when the worker may take (monotonic), so that its checkpoint can still be uploaded."""
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
            raise RetryableError(
                Reason.OUT_OF_MEMORY,
                f"the worker was killed ({how}), most likely because memory ran out: raise spec.resources.memory, or lower "
                f"spec.training.batchSize or imageSize; its last lines: {last}",
            )
        raise RetryableError(Reason.TRAINER_CRASHED, f"the worker crashed ({how}); its last lines: {last}")

    def _silent(self) -> RetryableError:
        self.worker.kill()
        return RetryableError(
            Reason.TRAINER_CRASHED,
            f"the worker said nothing for {self.silence_seconds:.0f} s and is taken to hang "
            f"({variable('worker_silence_seconds')} sets how long it may); its last lines: {self._last_lines()}",
        )

    def _last_lines(self) -> str:
        return "\n".join(self.journal.worker_tail()) or "(none)"

    def _take_in(self, message: Message) -> None:
        match message:
            case Building():
                self.journal.worker_line(message.message)
                if not self.board.ready:  # later it is a remark, such as on an image that cannot be read
                    self._show(Phase.BUILDING, message.message)
            case Stepped():
                self._take_in_step(message)
            case Evaluating():
                self._show(Phase.EVALUATING, f"evaluated {message.images_done:,} of {message.images:,} images")
            case Evaluated():
                self._take_in_scores(message)
            case Saved():
                self.publisher.saved(message, self.meter)
            case Exported():
                self._show(Phase.EXPORTING, "uploading the trained model")
                self.publisher.exported(message)
                self.publisher.pictures(message.pictures)
            case Ended():
                pass
            case _:
                assert_never(message)

    def _take_in_step(self, message: Stepped) -> None:
        self.meter.stepped(message)
        self.board.show_progress(self.meter)
        self.board.metrics.stepped(message)
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
        self._record(message)
        self.publisher.pictures(message.pictures)
        scores = ", ".join(f"{score.head} {score.name} {score.value:.4f}" for score in message.scores)
        self.journal.say(f"scores at iteration {message.iteration:,}: {scores}")

    def _show(self, phase: Phase, text: str) -> None:
        if not self.stop.requested:  # from then on it is ending, whatever the worker still does
            self.board.show(phase, text)

    def _record(self, message: Stepped | Evaluated) -> None:
        fields = message.model_dump(mode="json", exclude={"type", "pictures"})
        self.uploads.record({"time": utc_now(), **{to_camel(name): value for name, value in fields.items()}})


def _signal_name(number: int) -> str:
    try:
        return f"{number}, {signal.Signals(number).name}"
    except ValueError:
        return str(number)
