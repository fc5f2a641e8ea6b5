"""How long the supervisor waits for a silent worker, on a clock that the test controls."""

import io
import queue
from types import SimpleNamespace
from typing import cast

import pytest

from headrace_api.errors import RetryableError
from headrace_api.names import Reason
from headrace_api.report import Verdict
from headrace_api.training import Training
from headrace_storage.stop import Stop
from headrace_trainer.protocol import Ended, Evaluating
from headrace_trainer.supervisor.board import Board
from headrace_trainer.supervisor.follow import Follower
from headrace_trainer.supervisor.journal import Journal
from headrace_trainer.supervisor.memory_kills import MemoryKills
from headrace_trainer.supervisor.metrics import Metrics
from headrace_trainer.supervisor.progress import ProgressMeter
from headrace_trainer.supervisor.publish import Publisher
from headrace_trainer.supervisor.upload import Uploads
from headrace_trainer.supervisor.worker_process import Event, Exited, WorkerProcess

EVALUATING = Evaluating(iteration=1, images_done=1, images=2)
ENDED = Ended(verdict=Verdict.DONE, reason=Reason.REACHED_MAX_ITERATIONS)


class ScriptedWorker:
    """Sends each of `events` at its time (seconds), and is its own clock."""

    def __init__(self, *events: tuple[float, Event]) -> None:
        self.now = 0.0
        self.kills = 0
        self.events = self
        self._waiting = list(events)

    def get(self, timeout: float) -> Event:
        if self._waiting and self._waiting[0][0] <= self.now + timeout:
            self.now, event = self._waiting.pop(0)
            return event
        self.now += timeout
        raise queue.Empty

    def monotonic(self) -> float:
        return self.now

    def kill(self) -> None:
        self.kills += 1


def follow(worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Waits up to half an hour for a silent worker, without a request to stop."""
    monkeypatch.setattr("headrace_trainer.supervisor.follow.time", worker)
    return Follower(
        worker=cast(WorkerProcess, worker),
        meter=ProgressMeter(Training()),
        uploads=cast(Uploads, SimpleNamespace(error=None)),
        publisher=cast(Publisher, None),
        board=Board(Metrics()),
        journal=Journal(io.StringIO()),
        stop=cast(Stop, SimpleNamespace(requested=False, hurry=False)),
        memory_kills=MemoryKills(),
        grace_seconds=120,
        silence_seconds=1800,
    ).until_it_ends()


def test_a_worker_that_speaks_now_and_then_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = ScriptedWorker((1700, EVALUATING), (3400, EVALUATING), (5100, ENDED), (5101, Exited(0)))
    assert follow(worker, monkeypatch) == ENDED
    assert worker.kills == 0


def test_a_worker_that_falls_silent_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = ScriptedWorker((1700, EVALUATING), (3600, EVALUATING))
    with pytest.raises(RetryableError, match=r"sent no message for 1800 s .*HEADRACE_WORKER_SILENCE_SECONDS") as error:
        follow(worker, monkeypatch)
    assert error.value.reason is Reason.TRAINER_CRASHED
    assert worker.now == pytest.approx(3500, abs=1)
    assert worker.kills == 1


def test_a_worker_that_does_not_exit_after_its_last_message_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = ScriptedWorker((100, ENDED))
    assert follow(worker, monkeypatch) == ENDED
    assert worker.now == pytest.approx(112, abs=1)
    assert worker.kills == 1
