"""Real worker processes, and the small jobs that tests give them."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from headrace_api.trainingjob import TrainingJob, parse_job
from headrace_trainer.protocol import ENV_MESSAGES_FD, MESSAGE, Ended, Message, Plan

_DEADLINE_SECONDS = 240.0
"""Seconds to wait for anything: far longer than it takes, because tests share their cores."""

BOXES = {"name": "boxes", "annotations": "objects", "objectDetection": {}}
REGIONS = {"name": "regions", "annotations": "regions", "semanticSegmentation": {}}
TAGS = {"name": "tags", "annotations": "objects", "multilabelClassification": {}}
TEXTURE = {"name": "texture", "annotations": "texture", "multiclassClassification": {}}

OneMessage = TypeVar("OneMessage", bound=Message)


def small_job(
    heads: list[dict[str, Any]], training: dict[str, Any], backbone_top_level: int = 5, neck: dict[str, Any] | None = None
) -> TrainingJob:
    """A job on the CPU with a ResNet-18 and a narrow feature pyramid; `training` as in the manifest, over small defaults."""
    defaults = {
        "batchSize": 4,
        "imageSize": {"height": 64, "width": 64},
        "schedule": {"warmupIterations": 0, "decay": "constant"},
        "augmentation": {"horizontalFlip": False},
        "evaluateEvery": 1_000_000,
        "checkpointEvery": 1_000_000,
    }
    model: dict[str, Any] = {"backbone": {"name": "resnet18", "topLevel": backbone_top_level}, "heads": heads}
    model["neck"] = neck or {"fpn": {"channels": 64}, "bottomLevel": 3, "topLevel": max(3, backbone_top_level)}
    return parse_job(
        {
            "metadata": {"name": "test"},
            "spec": {
                "project": "tests",
                "dataset": {"uri": "s3://datasets/test/"},
                "model": model,
                "training": defaults | training,
                "resources": {"gpus": 0},
            },
        }
    )


class WorkerUnderTest:
    """`python -m headrace_trainer.worker` on a plan, and the messages it has sent."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        plan_file = folder / "plan.json"
        plan_file.write_text(plan.model_dump_json(by_alias=True))
        self.messages: list[Message] = []
        self._arrived = threading.Condition()
        self._silent = False
        self._log = folder / "worker.log"
        read, write = os.pipe()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace_trainer.worker", str(plan_file)],
                env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", ENV_MESSAGES_FD: str(write)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(write,),
            )
        os.close(write)
        self._reader = threading.Thread(target=self._read, args=(read,))
        self._reader.start()

    def wait_for(self, kind: type[OneMessage], condition: Callable[[OneMessage], bool] = lambda _: True) -> OneMessage:
        """Waits for the first message of a kind; fails with the worker's log if the worker ends without it."""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        with self._arrived:
            while True:
                for message in self.messages:
                    if isinstance(message, kind) and condition(message):
                        return message
                if self._silent or not self._arrived.wait(max(0.0, deadline - time.monotonic())):
                    raise AssertionError(f"no {kind.__name__} came: {self.messages[-3:]}\n{self.log}")

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> Ended:
        """Waits for the end of the process; returns its last message."""
        self.process.wait(_DEADLINE_SECONDS)
        self._reader.join(_DEADLINE_SECONDS)
        last = self.messages[-1] if self.messages else None
        assert isinstance(last, Ended), f"the last message is {last}\n{self.log}"
        return last

    def of(self, kind: type[OneMessage]) -> list[OneMessage]:
        """All messages of a kind, in order."""
        return [message for message in self.messages if isinstance(message, kind)]

    @property
    def log(self) -> str:
        """What it wrote to stdout and stderr."""
        return self._log.read_text()

    def close(self) -> None:
        """Leaves nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as lines:
            for line in lines:
                with self._arrived:
                    self.messages.append(MESSAGE.validate_json(line))
                    self._arrived.notify_all()
        with self._arrived:
            self._silent = True
            self._arrived.notify_all()


@contextlib.contextmanager
def running_worker(
    job: TrainingJob, dataset: Path, folder: Path, *, resume_from: Path | None = None, threads: int = 1
) -> Iterator[WorkerUnderTest]:
    """A worker that trains `job` on the dataset in `dataset`, with its output in `folder`/output."""
    plan = Plan(job=job, dataset_dir=dataset, output_dir=folder / "output", resume_from=resume_from, threads=threads)
    worker = WorkerUnderTest(plan, folder)
    try:
        yield worker
    finally:
        worker.close()
