"""Attempts of the real supervisor with the stand-in worker, run in a thread so that a test can watch and interfere."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headrace_api.names import ExitCode
from headrace_api.report import Outcome, TrainerStatus
from headrace_storage.stop import Stop
from headrace_testing.stand_in_worker import ENV_BEHAVIOUR, Behaviour
from headrace_trainer.supervisor.journal import Journal
from headrace_trainer.supervisor.run import Run
from headrace_trainer.supervisor.settings import Settings

STAND_IN = "headrace_testing.stand_in_worker"
_SUPPORT = str(Path(__file__).parents[1])
_SECONDS = 60.0
"""The limit for every wait, in seconds; on an idle machine waits take about a second."""


def job_document(
    name: str = "job", dataset: str = "s3://none/none/", output: str = "s3://none/", **training: Any
) -> dict[str, Any]:
    """A TrainingJob of 12 iterations with a checkpoint every 4th, unless `training` says otherwise."""
    return {
        "apiVersion": "headrace.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": "default", "uid": "0123456789abcdef"},
        "spec": {
            "project": "project",
            "dataset": {"uri": dataset},
            "output": {"uri": output},
            "training": {"maxIterations": 12, "checkpointEvery": 4, "evaluateEvery": 6, **training},
        },
    }


RUN_FOLDER = "default/project/job-01234567/"
"""The run folder of `job_document()`, below its output."""


def dataset_files(images: int = 3) -> dict[str, bytes]:
    """A small dataset by key; these tests never look at what is in the images."""
    layer = {"name": "objects", "task": "object-detection", "format": "coco", "splits": {"train": "train.json"}}
    manifest = json.dumps({"version": 1, "layers": [layer]}).encode()
    return {"dataset.json": manifest, "train.json": b"{}"} | {
        f"images/{i:05d}.jpg": bytes([i % 256]) * (100 + i) for i in range(images)
    }


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes them to a local folder."""
    for key, content in files.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(content)
    return folder


class Attempt:
    """One attempt. As a context manager, it ends whatever a test leaves running."""

    def __init__(
        self,
        folder: Path,
        job: Mapping[str, Any],
        behaviour: Behaviour | None = None,
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.workspace = Path(settings.pop("workspace", folder / "workspace"))
        self._lines: list[str] = []
        self._termination = folder / "termination-log"
        job_file = folder / "job.json"
        job_file.write_text(json.dumps(job))
        behaviour = behaviour or Behaviour()
        defaults: dict[str, Any] = {"attempt": 1, "grace_seconds": 30, "upload_every_seconds": 0.1, "cpus": 1}
        self.settings = Settings(
            job_file=job_file,
            workspace=self.workspace,
            environment={
                "PYTHONPATH": os.pathsep.join([_SUPPORT, *filter(None, [os.environ.get("PYTHONPATH")])]),
                ENV_BEHAVIOUR: behaviour.model_dump_json(),
                **(environment or {}),
            },
            termination_log=self._termination,
            listen_host="127.0.0.1",
            listen_port=0,
            **(defaults | settings),
        )
        self.stop = Stop()
        self.run = Run(self.settings, self.stop, Journal(self), STAND_IN, ())
        self.code: ExitCode | None = None
        self._thread = threading.Thread(target=self._execute, name="attempt")

    def __enter__(self) -> "Attempt":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self.stop.request()
            self.stop.request()
        self._thread.join(_SECONDS)
        assert not self._thread.is_alive(), self.log
        self.stop.close()

    def _execute(self) -> None:
        self.code = self.run.execute()

    # The journal's stream.
    def write(self, line: str) -> int:
        self._lines.append(line)
        return len(line)

    def flush(self) -> None:
        pass

    @property
    def log(self) -> str:
        """The log so far."""
        return "".join(list(self._lines))

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition; fails with the log after a minute, or when the attempt ends without it."""
        limit = time.monotonic() + _SECONDS
        while not condition():
            over = not self._thread.is_alive()
            assert condition() or not (over or time.monotonic() > limit), f"never happened: {what}\n{self.log}"
            time.sleep(0.01)

    def until_log(self, text: str) -> None:
        """Wait for a line that contains `text`."""
        self.until(lambda: text in self.log, f"a log line with {text!r}")

    def until_over(self) -> ExitCode:
        """Wait for the end."""
        self._thread.join(_SECONDS)
        assert self.code is not None, f"still running\n{self.log}"
        return self.code

    @property
    def status(self) -> TrainerStatus:
        """What GET /status would return."""
        return self.run.board.status()

    @property
    def outcome(self) -> Outcome:
        """The termination message."""
        return Outcome.model_validate_json(self._termination.read_bytes())

    @property
    def wiped(self) -> bool:
        """Whether the workspace is empty."""
        return not self.workspace.exists() or not list(self.workspace.iterdir())
