"""Runs the trainer on this machine as a child process: starts it, follows it and asks it to stop."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from headrace_api import names
from headrace_api.report import Outcome, TrainerStatus
from headrace_api.trainingjob import TrainingJob
from headrace_storage.scratch import Scratch

_SERVING = re.compile(r"supervisor: serving (http://\S+)")


class TrainerProcess:
    """`python -m headrace_trainer` with a job; the two exchange files in the folder of `scratch`."""

    def __init__(
        self,
        job: TrainingJob,
        scratch: Scratch,
        workspace: Path,
        *,
        dataset: str | None,
        output: str | None,
        initial_weights: str | None = None,
        on_line: Callable[[str], None],
    ) -> None:
        self._outcome = scratch.folder / "outcome.json"
        self._url: str | None = None
        self._on_line = on_line
        file = scratch.folder / "job.json"
        file.write_text(job.model_dump_json(by_alias=True, exclude_none=True))
        given = {"--dataset": dataset, "--output": output, "--initial-weights": initial_weights}
        places = [part for option, place in given.items() if place for part in (option, place)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "headrace_trainer", str(file), *places, "--end-with-parent", str(os.getpid())],
            env={
                **os.environ,
                names.ENV_WORKSPACE: str(workspace),
                names.ENV_TERMINATION_LOG: str(self._outcome),
                names.ENV_LISTEN_HOST: "127.0.0.1",
                names.ENV_LISTEN_PORT: "0",
                names.ENV_GRACE_SECONDS: str(job.spec.termination_grace_period_seconds),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=(scratch.lock,),  # the workspace may be in the folder, and the trainer may outlive us
            process_group=0,  # so that Ctrl-C reaches only this program, which passes it on once
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def stop(self) -> None:
        """Sends SIGTERM: the trainer saves a checkpoint and exits; after a second one it exits without waiting."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> int | None:
        """The exit code, or None while the trainer is running."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(5)
        return code

    def status(self) -> TrainerStatus | None:
        """What the trainer is doing; None if it does not answer."""
        if self._url is None:
            return None
        try:
            with urllib.request.urlopen(f"{self._url}/status", timeout=2) as response:
                return TrainerStatus.model_validate_json(response.read())
        except (OSError, urllib.error.URLError, ValidationError):
            return None

    def outcome(self) -> Outcome | None:
        """The outcome that the trainer reports at its end; None if it could not."""
        try:
            return Outcome.model_validate(json.loads(self._outcome.read_text()))
        except (OSError, ValueError):
            return None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if self._url is None and (serving := _SERVING.search(line)):
                self._url = serving.group(1)
            self._on_line(line.rstrip("\n"))
