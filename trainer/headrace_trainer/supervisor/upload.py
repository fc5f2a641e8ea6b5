"""Uploads an attempt's results to its run folder while it works: failures are retried and, up to a limit, do not stop it.

There are two threads: one for large files (checkpoints, the model, pictures), in order of creation; one for records (logs,
metrics), every few seconds, so that a large file never delays the log.
"""

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace_api import runfolder
from headrace_api.errors import RetryableError, TrainerError
from headrace_api.names import Reason
from headrace_storage.retry import Failures
from headrace_storage.store import Store, StoreError
from headrace_trainer.supervisor.board import Board
from headrace_trainer.supervisor.journal import Journal
from headrace_trainer.supervisor.records import Document, Item, Parts
from headrace_trainer.supervisor.run_record import RunRecord


@dataclass(frozen=True)
class Limits:
    """Time limits, in seconds."""

    patience: float
    """How long uploads may keep failing, without one success, before the attempt ends."""
    every: float
    """Pause between two uploads of new log lines and metrics."""


class Uploads:
    """Starts when the run folder is known. Call its methods from the main thread; all but `finish` return immediately."""

    def __init__(
        self,
        store: Store,
        attempt: runfolder.Attempt,
        journal: Journal,
        board: Board,
        limits: Limits,
        *,
        record: RunRecord,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder` is a local folder for copies of the log and the metrics."""
        self.record = record
        self.store = store
        self._journal, self._board, self._limits, self._clock = journal, board, limits, clock
        self._deadline: Callable[[], float] | None = None
        self._all_arrived = True
        self._closing = threading.Event()
        self.error: TrainerError | None = None
        """Set once the limit is reached; nothing is uploaded after that."""
        self._waiting: list[str] = []
        self._tasks: queue.Queue[tuple[str, Callable[[], None]] | None] = queue.Queue()
        self._metrics_lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._parts = (
            Parts(store, "log", attempt.log, journal.take, folder / "log"),
            Parts(store, "metrics", attempt.metrics, self._take_metrics, folder / "metrics"),
        )
        self._run_json = Document(store, runfolder.RUN, record.take)
        self._fold_soon = threading.Event()
        self._threads = [
            threading.Thread(target=self._carry_files, name="upload-files", daemon=True),
            threading.Thread(target=self._carry_records, name="upload-records", daemon=True),
        ]

    def find_next_parts(self) -> None:
        """Continue after the parts that an earlier run of this attempt left in the store. Call it before `start`."""
        for part in self._parts:
            part.find_next()

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, what: str, action: Callable[[], None]) -> None:
        """Queue `action`, which is repeated until it succeeds."""
        self._waiting.append(what)
        self._tasks.put((what, action))

    def submit_files(self, what: str, files: Mapping[str, Path]) -> None:
        """Queue files by key."""
        self.submit(what, lambda: self.put_files(files))

    @property
    def missing(self) -> list[str]:
        """What was submitted and has not arrived, in order."""
        return list(self._waiting)

    @property
    def files_pending(self) -> bool:
        """Whether anything submitted has neither been uploaded nor given up."""
        return self._tasks.unfinished_tasks > 0

    @property
    def last_sent_at(self) -> float:
        """`time.monotonic()` when a byte last left for the store; 0 before the first."""
        return self.store.traffic.last_sent_at

    def put_files(self, files: Mapping[str, Path]) -> None:
        """Upload files by key immediately. For use in actions."""
        for key, path in files.items():
            self.store.upload(key, path)
            self._board.metrics.uploads.inc()
            self._board.metrics.uploaded_bytes.inc(path.stat().st_size)

    def report(self, metrics: Mapping[str, object]) -> None:
        """Add a line to the attempt's metrics."""
        self._metrics_lines.put(json.dumps(metrics, separators=(",", ":")) + "\n")

    def fold(self) -> None:
        """A checkpoint is safe: write the log and the metrics as one file each, with the next records."""
        self._fold_soon.set()

    def finish(self, deadline: Callable[[], float]) -> bool:
        """Upload what is queued, then the last records; returns whether all of it arrived by `deadline` (monotonic).

        Calls `deadline` repeatedly, because a SIGTERM may bring it forward; gives up on what is left by then.
        """
        self._deadline = deadline
        self._closing.set()
        self._tasks.put(None)
        while any(thread.is_alive() for thread in self._threads) and not self._late():
            for thread in self._threads:
                thread.join(0.05)
        return not any(thread.is_alive() for thread in self._threads) and self._all_arrived

    def write_last(self, key: str, content: bytes) -> bool:
        """After `finish`, upload one more small object by the same deadline; returns whether it arrived."""
        return self._persist(key, lambda: self.store.write(key, content))

    def _carry_files(self) -> None:
        while (task := self._tasks.get()) is not None:
            if self._persist(*task):
                self._waiting.remove(task[0])
            self._tasks.task_done()
        self._tasks.task_done()

    def _carry_records(self) -> None:
        while not self._closing.wait(self._limits.every):
            self._flush_records()
        # After the files, because the last lines are about them.
        self._threads[0].join()
        self._flush_records(last=True)

    def _flush_records(self, last: bool = False) -> None:
        items: tuple[Item, ...] = (*self._parts, self._run_json)
        for item in items:
            if item.gather():
                self._persist(item.name, item.put)
        if not last and not self._fold_soon.is_set():
            return
        self._fold_soon.clear()
        for part in self._parts:
            if part.foldable(last=last):
                self._persist(f"folding the {part.name}", part.fold)

    def _take_metrics(self) -> bytes:
        lines = []
        while not self._metrics_lines.empty():
            lines.append(self._metrics_lines.get())
        return "".join(lines).encode()

    def _persist(self, what: str, action: Callable[[], None]) -> bool:
        """Repeat `action` until it succeeds, patience runs out or the deadline passes; returns whether it succeeded."""
        failures = Failures(self._clock)
        while self.error is None and not self._late():
            try:
                action()
                return True
            except (StoreError, TrainerError) as error:
                self._board.metrics.upload_failures.inc()
                pause = failures.one_more()
                if failures.seconds > self._limits.patience:
                    self._give_up(what, error, failures.seconds)
                    break
                self._journal.say(f"uploading {what}: {error}; trying again in {pause:.1f} s")
                self._pause(pause)
            except Exception as error:
                self.error = RetryableError(Reason.TRAINER_CRASHED, f"uploading {what}: {type(error).__name__}: {error}")
        self._all_arrived = False
        return False

    def _give_up(self, what: str, error: StoreError | TrainerError, seconds: float) -> None:
        if isinstance(error, TrainerError):  # refused for so long that it must be intended
            self.error = error
        else:
            self.error = RetryableError(
                Reason.STORAGE_UNAVAILABLE, f"uploading {what}: gave up after {seconds:.0f} s without a success: {error}"
            )

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline()

    def _pause(self, seconds: float) -> None:
        """Wait before the next try. `finish` cuts the wait short once: the store may be back by then."""
        until = time.monotonic() + seconds
        if not self._closing.is_set():
            self._closing.wait(seconds)
            return
        while time.monotonic() < until and not self._late():
            time.sleep(0.05)
