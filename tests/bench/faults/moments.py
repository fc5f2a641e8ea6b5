"""Moments of an attempt at which something can happen to it. Each waits for its moment; False if the attempt ends before."""

import threading
import time
from collections.abc import Callable
from typing import Final

from faults.scene import Scene
from faults.trainer import Trainer

Moment = Callable[[Scene, Trainer], bool]


def at_random(scene: Scene, trainer: Trainer) -> bool:
    """Any time up to about the end."""
    ready = time.monotonic() + scene.random.uniform(0, 8)
    return trainer.until(lambda: time.monotonic() >= ready)


def at_once(scene: Scene, trainer: Trainer) -> bool:
    """Before Python has imported anything."""
    return trainer.running


def pulling(scene: Scene, trainer: Trainer) -> bool:
    """While the dataset is on its way."""
    return _under_way(scene, trainer, "GET /bench/dataset/images", 0)


def importing(scene: Scene, trainer: Trainer) -> bool:
    """While the worker imports torch."""
    if not trainer.until(lambda: trainer.worker() is not None):
        return False
    ready = time.monotonic() + scene.random.uniform(0, 1)
    return trainer.until(lambda: time.monotonic() >= ready)


def building(scene: Scene, trainer: Trainer) -> bool:
    """While the network is built."""
    return trainer.until_log("worker: building ")


def training(scene: Scene, trainer: Trainer) -> bool:
    """Between two iterations."""
    return trainer.until(lambda: trainer.phase() in {"Training", "Evaluating", "Exporting", "Ending"})


def evaluating(scene: Scene, trainer: Trainer) -> bool:
    """While held-out images are scored."""
    return trainer.until(lambda: trainer.phase() in {"Evaluating", "Exporting", "Ending"})


def writing_a_checkpoint(scene: Scene, trainer: Trainer) -> bool:
    """While the worker writes a checkpoint's files."""
    return trainer.until(lambda: any((trainer.workspace / "run/checkpoints").glob(".*")))


def exporting(scene: Scene, trainer: Trainer) -> bool:
    """While the worker writes the model."""
    return trainer.until(lambda: any((trainer.workspace / "run").glob(".model-*")) or trainer.phase() in {"Exporting", "Ending"})


def uploading_a_checkpoint(scene: Scene, trainer: Trainer) -> bool:
    """In the middle of a file of a checkpoint."""
    if scene.local:
        return writing_a_checkpoint(scene, trainer)
    return _under_way(scene, trainer, "PUT checkpoints/0 safetensors", scene.random.randrange(1, 2_000_000))


def writing_a_marker(scene: Scene, trainer: Trainer) -> bool:
    """When a checkpoint's files are there, and the marker is on its way."""
    if scene.local:
        return trainer.until_log("is safe in")
    return _under_way(scene, trainer, "PUT checkpoints/latest.json", 0)


def last_upload(scene: Scene, trainer: Trainer) -> bool:
    """While the model is on its way."""
    if scene.local:
        return exporting(scene, trainer)
    return _under_way(scene, trainer, "PUT model/model.safetensors", 1000)


def _under_way(scene: Scene, trainer: Trainer, words: str, sent: int) -> bool:
    reached = threading.Event()
    scene.proxy.when_under_way(words, sent, reached.set)
    return trainer.until(reached.is_set)


MOMENTS: Final[dict[str, Moment]] = {
    "at random": at_random,
    "at once": at_once,
    "pull": pulling,
    "import": importing,
    "build": building,
    "training": training,
    "evaluation": evaluating,
    "checkpoint write": writing_a_checkpoint,
    "checkpoint upload": uploading_a_checkpoint,
    "marker": writing_a_marker,
    "export": exporting,
    "last upload": last_upload,
}
