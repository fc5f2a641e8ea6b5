"""The worker as a child process: starts early, gets a go signal, sends messages, and is stopped or killed with its children."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from headrace_api.names import ENV_INITIAL_WEIGHTS
from headrace_api.wrong_fields import wrong_fields_in_words
from headrace_trainer.protocol import ENV_MESSAGES_FD, MESSAGE, Message

WORKER_MODULE = "headrace_trainer.worker"
PRELOADED_MODULES = ("torch", "torchvision")
"""Imported while the dataset is pulled: 5.4 s of CPU time, measured with torch 2.15 on a core shared with others."""
_SECRETS = ("AWS_", "MINIO_", ENV_INITIAL_WEIGHTS)
KILLED_SECONDS = 10.0
"""How long a worker may take to exit after SIGKILL; one that hangs in a driver may never do so."""
_READERS_SECONDS = 5.0
"""How long to wait for the last output of a worker that has ended."""


@dataclass(frozen=True)
class Exited:
    """The worker has exited; no more events follow."""

    code: int
    """As in subprocess: negative for a signal."""


Event = Message | Exited


def worker_environment(environment: Mapping[str, str], temporary: Path, threads: int) -> dict[str, str]:
    """The supervisor's environment for the worker: no secrets, threads that wait passively, temporary files in the workspace.

    Threads that spin while waiting slow down a neighbour on the same cores sixfold (2,328 ms per step instead of 376, measured).
    """
    own = {name: value for name, value in environment.items() if not name.startswith(_SECRETS)}
    return own | {
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TMPDIR": str(temporary),
        "XDG_CACHE_HOME": str(temporary / "cache"),
        "PYTHONUNBUFFERED": "1",
    }


class WorkerProcess:
    """A running worker. Start it from the main thread: it dies with the thread that started it."""

    def __init__(
        self,
        plan: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
        module: str = WORKER_MODULE,
        preload: Sequence[str] = PRELOADED_MODULES,
    ) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        """The worker's messages, then Exited."""
        self._on_line = on_line
        self._lock = threading.Lock()
        self._reaped = False
        messages_read, messages_write = os.pipe()
        go_read, self._go = os.pipe()
        command = [sys.executable, "-m", "headrace_trainer.supervisor.launch", str(os.getpid()), str(go_read)]
        self._process = subprocess.Popen(
            [*command, ",".join((module, *preload)), str(plan)],
            env={**environment, ENV_MESSAGES_FD: str(messages_write)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(messages_write, go_read),
            process_group=0,  # killed as a group, and out of reach of the terminal's Ctrl-C
        )
        os.close(messages_write)
        os.close(go_read)
        self._readers = [
            threading.Thread(target=self._read_messages, args=(messages_read,), name="messages", daemon=True),
            threading.Thread(target=self._read_output, name="output", daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self._waiter = threading.Thread(target=self._await_exit, name="worker", daemon=True)
        self._waiter.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def go(self) -> None:
        """Start the work: the plan is written."""
        with suppress(BrokenPipeError):  # it has already crashed; Exited will report that
            os.write(self._go, b"!")

    def terminate(self) -> None:
        """Ask the worker, but not its children, to save a checkpoint and exit."""
        self._signal(os.kill, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the worker and all its children now."""
        self._signal(os.killpg, signal.SIGKILL)

    def close(self) -> bool:
        """Kill what is left, wait for it for a limited time, close resources; returns whether it is gone."""
        self.kill()
        self._waiter.join(KILLED_SECONDS)
        with suppress(OSError):
            os.close(self._go)
        return not self._waiter.is_alive()

    def _signal(self, send: Callable[[int, int], None], number: int) -> None:
        with self._lock:
            if not self._reaped:  # after that the pid may belong to another process
                send(self._process.pid, number)

    def _await_exit(self) -> None:
        # It has ended but is not reaped yet, so its pid and process group are still its own.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self.kill()  # data loaders left behind keep its pipes open
        with self._lock:
            code = self._process.wait()
            self._reaped = True
        for reader in self._readers:
            reader.join(_READERS_SECONDS)
        self.events.put(Exited(code))

    def _read_messages(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as lines:
            for line in lines:
                try:
                    self.events.put(MESSAGE.validate_json(line))
                except ValidationError as error:
                    wrong = wrong_fields_in_words(error, Message)
                    self._on_line(f"(invalid message: {line[:200]!r}: {wrong})")

    def _read_output(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._on_line(line.decode(errors="replace").rstrip("\n"))
