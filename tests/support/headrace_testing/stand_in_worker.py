"""A worker without torch: speaks the protocol, "learns" by counting, and misbehaves as its environment asks.

    HEADRACE_STAND_IN   JSON: Behaviour

Started like the real one: `python -m headrace_testing.stand_in_worker PLAN.json`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from headrace_api import runfolder
from headrace_api.names import Reason
from headrace_api.report import Verdict
from headrace_api.run import Curves, HeadRecord, LayerRecord, Machine, PictureRecord, RunCurves
from headrace_api.tasks import Task
from headrace_api.trainingjob import MetricValue
from headrace_trainer.protocol import (
    ENV_MESSAGES_FD,
    Building,
    CurvesWritten,
    Ended,
    Evaluated,
    Evaluating,
    Exported,
    Message,
    Opened,
    Plan,
    Saved,
    Stepped,
)

ENV_BEHAVIOUR = "HEADRACE_STAND_IN"
Trouble = Literal["none", "crash", "segfault", "killed", "error", "retryable", "hang", "child"]


class Behaviour(BaseModel):
    """What the stand-in does."""

    step_seconds: float = 0.0
    wait_for: Path | None = None
    """At iteration `at`, wait until this file exists, so a test can hold the worker where it wants."""
    at: int = -1
    """Iteration at which `trouble` happens."""
    trouble: Trouble = "none"
    remark: str = ""
    """Sent at iteration `at`, like a worker's warning about an image it skips."""
    deaf: bool = False
    """SIGTERM is ignored."""
    checkpoint_bytes: int = 100
    build_seconds: float = 0.0
    cannot_load: list[int] = []
    """Iterations of checkpoints that it refuses to resume from."""


def main() -> None:
    """Count to max_iterations."""
    behaviour = Behaviour.model_validate_json(os.environ.get(ENV_BEHAVIOUR, "{}"))
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: None if behaviour.deaf else stopping.append(number))
    plan = Plan.model_validate_json(Path(sys.argv[1]).read_bytes())
    print("stand-in worker begins", flush=True)
    print("environment " + json.dumps(sorted(os.environ)), flush=True)
    send(Building(message="reading annotations"))
    time.sleep(behaviour.build_seconds)
    images = len(list((plan.dataset_dir / "images").iterdir()))
    send(opened(images))
    iteration = 0
    if plan.resume_from is not None:
        iteration = json.loads((plan.resume_from / "state.json").read_text())["iteration"]
        if iteration in behaviour.cannot_load:
            message = f"checkpoint {plan.resume_from.name} cannot be read: told to"
            send(Ended(verdict=Verdict.ERROR, reason=Reason.BAD_CHECKPOINT, message=message, retry=True))
            sys.exit(1)
        print(f"resumed at {iteration}", flush=True)
    if plan.initial_weights is not None:
        there = sorted(path.name for path in plan.initial_weights.iterdir()) if plan.initial_weights.is_dir() else "a file"
        print(f"begins with {plan.initial_weights}: {there}", flush=True)
    training = plan.job.spec.training
    while iteration < training.max_iterations and not stopping:
        if iteration == behaviour.at:
            if behaviour.remark:
                send(Building(message=behaviour.remark))
            make_trouble(behaviour)
        time.sleep(behaviour.step_seconds)
        iteration += 1
        send(step(iteration, images))
        if iteration % training.evaluate_every == 0:
            evaluate(plan, iteration)
        if iteration % training.checkpoint_every == 0:
            save(plan, iteration, behaviour)
    save(plan, iteration, behaviour)
    if stopping:
        send(Ended(verdict=Verdict.STOPPED, reason=Reason.INTERRUPTED))
        return
    evaluate(plan, iteration)
    (plan.output_dir / "model").mkdir()
    (plan.output_dir / "model" / "config.json").write_text("{}")
    send(Exported(folder=Path("model")))
    send(Ended(verdict=Verdict.DONE, reason=Reason.REACHED_MAX_ITERATIONS))


def send(message: Message) -> None:
    """One line on the pipe."""
    os.write(int(os.environ[ENV_MESSAGES_FD]), message.model_dump_json().encode() + b"\n")


def opened(images: int) -> Opened:
    """One layer of boxes, on a machine that does not exist."""
    layer = LayerRecord(
        name="objects",
        task=Task.OBJECT_DETECTION,
        images={"train": images, "val": 2},
        objects={"train": 3, "val": 1},
        classes={"train": {"car": 2, "person": 1}, "val": {"car": 1}},
        class_count=2,
    )
    return Opened(
        images={"train": images, "val": 2},
        layers=[layer],
        heads=[HeadRecord(name="boxes", task=Task.OBJECT_DETECTION)],
        machine=Machine(torch="2.0", cuda="12.0", device="GPU of a test", gpus=1),
    )


def step(iteration: int, images: int) -> Stepped:
    """Pretends to have learned something."""
    return Stepped(
        iteration=iteration,
        trained_seconds=iteration * 0.5,
        losses={"boxes/class": 1.0 / iteration, "total": 2.0 / iteration},
        learning_rate=0.001,
        gradient_norm=1.5,
        images_per_second=float(images),
        data_wait_share=0.25,
        device_memory_bytes=1000,
    )


def evaluate(plan: Plan, iteration: int) -> None:
    """A score, and a picture."""
    send(Evaluating(iteration=iteration, images_done=1, images=2))
    picture = PictureRecord(head="boxes", image="images/0.jpg", file="0.jpg", truth=True)
    for key in (runfolder.picture(iteration, "boxes", "0.jpg"), runfolder.truth_picture("boxes", "0.jpg")):
        (plan.output_dir / key).parent.mkdir(parents=True, exist_ok=True)
        (plan.output_dir / key).write_bytes(b"jpeg")
    score = MetricValue(head="boxes", name="AP", value=min(1.0, iteration / 100), iteration=iteration)
    send(Evaluated(iteration=iteration, scores=[score], pictures=[picture]))
    line = {"boxes/AP": [score.value]}
    curves = Curves(iterations=[iteration], seconds=[iteration * 0.5], mean=line, least=line, most=line)
    (plan.output_dir / runfolder.CURVES).write_text(RunCurves(scores=curves).model_dump_json(by_alias=True))
    send(CurvesWritten(file=Path(runfolder.CURVES)))


def save(plan: Plan, iteration: int, behaviour: Behaviour) -> None:
    """A checkpoint of two files; the one of iteration 4 stays the best."""
    folder = plan.output_dir / runfolder.checkpoint(iteration)
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "network.safetensors").write_bytes(os.urandom(behaviour.checkpoint_bytes))
        (folder / "state.json").write_text(json.dumps({"iteration": iteration}))
    send(Saved(iteration=iteration, folder=Path(runfolder.checkpoint(iteration)), best=iteration <= 4))


def make_trouble(behaviour: Behaviour) -> None:
    """Misbehaves as the test asked."""
    while behaviour.wait_for is not None and not behaviour.wait_for.exists():
        time.sleep(0.01)
    match behaviour.trouble:
        case "crash":
            raise ZeroDivisionError("the stand-in was told to crash")
        case "segfault":
            signal.raise_signal(signal.SIGSEGV)
        case "killed":
            signal.raise_signal(signal.SIGKILL)
        case "error" | "retryable":
            retry = behaviour.trouble == "retryable"
            send(Ended(verdict=Verdict.ERROR, reason=Reason.LOSS_NOT_FINITE, message="head 'boxes': nan", retry=retry))
            sys.exit(1)
        case "hang":
            time.sleep(1000)
        case "child":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
            print(f"child {child.pid}", flush=True)
        case "none":
            pass


if __name__ == "__main__":
    main()
