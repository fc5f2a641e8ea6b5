"""The worker as a child process."""

import os
import signal
from pathlib import Path

import pytest

from headrace_trainer.supervisor import worker_process
from headrace_trainer.supervisor.worker_process import Exited, WorkerProcess


def waiting_worker(folder: Path) -> WorkerProcess:
    """A worker that was not asked to stop."""
    return WorkerProcess(folder / "plan.json", os.environ, lambda _: None, preload=())


def test_closing_kills_what_is_left(tmp_path: Path) -> None:
    worker = waiting_worker(tmp_path)
    assert worker.close()
    assert worker.events.get(timeout=30) == Exited(-signal.SIGKILL)


def test_a_worker_that_even_sigkill_does_not_end_is_not_waited_for_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like one that hangs in a driver."""
    worker = waiting_worker(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(WorkerProcess, "kill", lambda _: None)
        patched.setattr(worker_process, "KILLED_SECONDS", 0.1)
        # It would end once its pipe is closed, so keep another end of the pipe open.
        held = os.dup(worker._go)
        assert not worker.close()
    worker.kill()
    os.close(held)
    assert worker.events.get(timeout=30) == Exited(-signal.SIGKILL)
