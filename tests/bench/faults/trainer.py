"""One real trainer process, watched from outside."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from headrace_api import names
from headrace_api.report import Outcome
from headrace_storage.stop import holding_back

_SECONDS: Final = 120.0
"""The longest that an attempt may take: something hangs if it takes longer."""
_LAUNCH: Final = "headrace_trainer.supervisor.launch"


class Trainer:
    """`python -m headrace_trainer` on a job."""

    def __init__(
        self,
        folder: Path,
        job: Path,
        *,
        dataset: str,
        output: str,
        workspace: Path,
        environment: Mapping[str, str],
        entrance: Path | None = None,
        by_headrace_train: bool = False,
    ) -> None:
        """`entrance` is the file of a cgroup that the process enters first. `headrace train` picks a workspace itself."""
        folder.mkdir(parents=True, exist_ok=True)
        self.workspace = workspace
        self._by_headrace_train = by_headrace_train
        self._outcome = folder / "outcome.json"
        self._lines: list[str] = []
        (folder / "tmp").mkdir(exist_ok=True)
        command = [sys.executable, "-m", "headrace_trainer", str(job), "--dataset", dataset, "--output", output]
        if by_headrace_train:
            command[2:3] = ["headrace_cli", "train"]
        if entrance is not None:
            command = ["sh", "-c", f'echo 0 > {entrance} && exec "$0" "$@"', *command]
        with holding_back():  # as `headrace train` does; to a container's first process, an early signal would do nothing
            self.process = subprocess.Popen(
                command,
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")},
                    "TMPDIR": str(folder / "tmp"),
                    names.ENV_WORKSPACE: str(workspace),
                    names.ENV_TERMINATION_LOG: str(self._outcome),
                    names.ENV_LISTEN_HOST: "127.0.0.1",
                    names.ENV_LISTEN_PORT: "0",
                    names.ENV_GRACE_SECONDS: "30",
                    names.ENV_CPUS: "1",
                    "HEADRACE_STORAGE_PATIENCE_SECONDS": "10",
                    "HEADRACE_UPLOAD_PATIENCE_SECONDS": "10",
                    "HEADRACE_UPLOAD_EVERY_SECONDS": "0.3",
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)

    @property
    def log(self) -> str:
        """Its output so far."""
        return "".join(list(self._lines))

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until `condition`; False if the trainer ends first."""
        while self.running:
            if condition():
                return True
            time.sleep(0.003)
        return False

    def until_log(self, text: str) -> bool:
        """Wait for a line with `text`; False if the trainer ends first."""
        return self.until(lambda: text in self.log)

    def phase(self) -> str:
        """What GET /status says; "" while nobody answers."""
        if "serving http" not in self.log:
            return ""
        url = self.log.split("serving ", 1)[1].split()[0]
        with suppress(OSError, ValueError, KeyError), urllib.request.urlopen(f"{url}/status", timeout=1) as answer:
            return str(json.loads(answer.read())["phase"])
        return ""

    def worker(self) -> psutil.Process | None:
        """The process that learns."""
        with suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                if _LAUNCH in child.cmdline():
                    return child
        return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.running:
            self.process.send_signal(number)

    def end(self) -> int | None:
        """Wait for the end; the exit code as subprocess gives it, None if it had to be killed because it hung."""
        try:
            self.process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self._reader.join(5)
            return None
        self._reader.join(5)
        return self.process.returncode

    def outcome(self) -> Outcome | None:
        """What it says about its end; None if it could not."""
        if self._by_headrace_train:
            return self._outcome_told()
        try:
            return Outcome.model_validate_json(self._outcome.read_bytes())
        except (OSError, ValueError):
            return None

    def _outcome_told(self) -> Outcome | None:
        facts = dict(line.rstrip("\n").split("\t", 1) for line in self._lines if "\t" in line)
        errors = [line.removeprefix("error: ").rstrip("\n") for line in self._lines if line.startswith("error: ")]
        if "outcome" not in facts or "reason" not in facts:
            return None
        told = {"outcome": facts["outcome"], "reason": facts["reason"], "message": " ".join(errors), "progress": {}}
        return Outcome.model_validate(told)


def environment_through(direct: Mapping[str, str], endpoint: str) -> dict[str, Any]:
    """The storage's environment by way of a proxy."""
    return {**direct, "AWS_ENDPOINT_URL": endpoint}
