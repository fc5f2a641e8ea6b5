"""The cluster's processes from their owner's side: start, watch and signal them. None outlives the owner.

Every process is a child of a janitor (`janitor.py`), one per `Processes`, which cleans up even after a SIGKILL of
the owner. Output goes to one log file per process; an error about a process carries the end of its log, because
the file disappears with the cluster's folder.
"""

import itertools
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from headrace_local import janitor


class ProcessEndedError(RuntimeError):
    """A process that should be running is not; the message has its exit code and the end of its log."""


class Process:
    """One started process. It leads its own session and process group."""

    def __init__(self, processes: "Processes", key: int, name: str, pid: int, log: Path) -> None:
        self._processes = processes
        self.key = key
        self.name = name
        self.pid = pid
        self.log = log
        self.expected_to_run = True

    @property
    def exit_code(self) -> int | None:
        """None while it runs; if a signal ended it, the signal's negative number."""
        return self._processes.exit_code(self.key)

    @property
    def running(self) -> bool:
        return self.exit_code is None

    def signal(self, number: int) -> None:
        """Sends a signal to the process and its group; does nothing if it has ended."""
        if number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
            self.expected_to_run = False
        self._processes.send_signal(self.key, number)

    def kill(self) -> None:
        """Sends SIGKILL to the process and its group, and waits for the process itself to end."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def stop(self, grace_seconds: float = 10) -> int:
        """Sends SIGTERM, and SIGKILL once the grace period is over. Returns the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(grace_seconds)
        except TimeoutError:
            self.kill()
            return self.wait(10)

    def wait(self, timeout: float) -> int:
        """The exit code, once there is one.

        Raises:
            TimeoutError: still running after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while (code := self.exit_code) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.name} (pid {self.pid}) is still running after {timeout} s")
            self._processes.listen(min(left, 0.5))
        return code

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its output."""
        try:
            text = self.log.read_text(errors="replace")
        except FileNotFoundError:
            return "(no output)"
        return "\n".join(text.splitlines()[-lines:]) or "(no output)"

    def check(self) -> None:
        """
        Raises:
            ProcessEndedError: it has ended, but was not asked to.
        """
        code = self.exit_code
        if code is None or not self.expected_to_run:
            return
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        raise ProcessEndedError(f"{self.name} (pid {self.pid}) ended with {how}. The end of {self.log}:\n{self.log_tail()}")


class Processes:
    """A janitor and the processes it started for this owner. Thread-safe.

    Args:
        remove: folders to remove after the last process; they need not exist yet.
    """

    def __init__(self, remove: Sequence[Path] = ()) -> None:
        if not sys.platform.startswith("linux"):
            raise RuntimeError(f"the embedded cluster needs Linux; this is {sys.platform}")
        self.started: list[Process] = []
        self._keys = itertools.count()  # identify processes to the janitor
        self._exit_codes: dict[int, int] = {}
        self._lock = threading.RLock()
        self._unread = b""
        self._replies: list[dict[str, Any]] = []
        self._janitor = subprocess.Popen(
            [sys.executable, "-I", "-S", janitor.__file__, str(os.getpid()), *map(str, remove)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        assert self._janitor.stdout is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._janitor.stdout, selectors.EVENT_READ)

    @property
    def janitor_pid(self) -> int:
        return self._janitor.pid

    def start(self, name: str, argv: Sequence[str | Path], *, log: Path, cwd: Path, env: Mapping[str, str]) -> Process:
        """Starts a program with exactly this environment.

        Raises:
            ProcessEndedError: it could not be executed at all, with the reason.
        """
        with self._lock:
            key = next(self._keys)
            order = {"key": key, "argv": [str(part) for part in argv], "env": dict(env)}
            reply = self._ask({"start": order | {"log": str(log), "cwd": str(cwd)}})
            if "error" in reply:
                raise ProcessEndedError(f"{name} could not be started: {reply['error']}")
            process = Process(self, key, name, reply["pid"], log)
            self.started.append(process)
            return process

    def send_signal(self, key: int, number: int) -> None:
        with self._lock:
            if self.exit_code(key) is None:
                self._ask({"signal": {"key": key, "number": int(number)}})

    def exit_code(self, key: int) -> int | None:
        self.listen(0)
        return self._exit_codes.get(key)

    def listen(self, timeout: float) -> None:
        """Reads the janitor's reports, and waits up to `timeout` seconds for one."""
        with self._lock:
            self._receive(timeout)

    def check(self) -> None:
        """
        Raises:
            ProcessEndedError: a process has ended, but was not asked to.
        """
        for process in list(self.started):
            process.check()

    def kill_all(self) -> None:
        """Kills and forgets all started processes; you can start others afterwards."""
        for process in self.started:
            process.kill()
        self.started = []

    def close(self) -> None:
        """Kills every process and removes the folders; returns when that is done (well under a second)."""
        with self._lock:
            if self._janitor.returncode is not None:
                return
            assert self._janitor.stdin is not None
            assert self._janitor.stdout is not None
            with suppress(BrokenPipeError):
                self._janitor.stdin.write(b'{"end": true}\n')
            self._janitor.stdin.close()
            while self._janitor.stdout.read(1 << 16):  # its messages no longer matter, but it must not block
                pass
            self._selector.close()
            self._janitor.stdout.close()
            self._janitor.wait()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._janitor.stdin is not None
        try:
            self._janitor.stdin.write(json.dumps(request).encode() + b"\n")
            while not self._replies:
                self._receive(None)
        except (BrokenPipeError, ValueError) as error:
            raise ProcessEndedError(f"the janitor (pid {self.janitor_pid}) of these processes is gone") from error
        return self._replies.pop()

    def _receive(self, timeout: float | None) -> None:
        if self._janitor.returncode is not None or not self._selector.select(timeout):
            return
        assert self._janitor.stdout is not None
        chunk = os.read(self._janitor.stdout.fileno(), 1 << 16)
        if not chunk:
            # The kernel killed its children with it (PR_SET_PDEATHSIG).
            self._janitor.wait()
            for process in self.started:
                self._exit_codes.setdefault(process.key, -signal.SIGKILL)
            raise ProcessEndedError(f"the janitor (pid {self.janitor_pid}) of these processes was killed")
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for message in map(json.loads, lines):
            if "ended" in message:
                self._exit_codes[message["ended"]] = message["code"]
            else:
                self._replies.append(message)
