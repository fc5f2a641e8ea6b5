"""The keys of a run folder: one per job, in object storage or in a local folder (docs/decisions/0008-run-folder.md)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

LATEST = "checkpoints/latest.json"
BEST = "checkpoints/best.json"
COMPLETE = "complete.json"
"""In the folder of a checkpoint: its own marker, so that it can be found without LATEST."""
JOB = "job.json"
OUTCOME = "outcome.json"
MODEL = "model/"
MODEL_WEIGHTS = "model.safetensors"
"""In MODEL: the weights by name."""
MODEL_CONFIG = "config.json"
"""In MODEL: the network's configuration, and what its numbers mean."""
PICTURES = "pictures/"
UID_OF_LOCAL_RUNS = "local"
"""Replaces the uid of a job outside a cluster, so that running it again continues in the same folder."""


def run_folder(output_uri: str, namespace: str, project: str, job: str, uid: str) -> str:
    """URI of a job's run folder, ending in "/": `<output>/<namespace>/<project>/<job>-<first 8 of the uid>/`.

    The uid keeps a job that was deleted and applied again under the same name from continuing its predecessor.
    """
    return f"{output_uri.rstrip('/')}/{namespace}/{project}/{job}-{uid[:8]}/"


def checkpoint(iteration: int) -> str:
    """Key prefix of the checkpoint taken after `iteration` iterations; complete only once a marker (COMPLETE, LATEST) names it."""
    return f"checkpoints/{iteration:08d}/"


def picture(iteration: int, name: str) -> str:
    """Key of a picture drawn at an evaluation, `name` without extension."""
    return f"{PICTURES}{iteration:08d}-{name}.png"


def next_attempt(keys: Iterable[str]) -> int:
    """The number after the last attempt that has keys among `keys`. Keys that no attempt writes are ignored."""
    return 1 + max((int(found[1]) for key in keys if (found := re.match("attempts/([0-9]+)/", key))), default=0)


def next_part(keys: Iterable[str]) -> int:
    """The number after the last part of a log or of metrics among `keys`. Keys of other files are ignored."""
    return 1 + max((int(found[1]) for key in keys if (found := re.search(r"/([0-9]+)\.(log|jsonl)$", key))), default=0)


@dataclass(frozen=True)
class Attempt:
    """The keys that belong to one attempt."""

    number: int

    def log(self, part: int) -> str:
        """Key of a numbered part of the log; parts are never rewritten."""
        return f"attempts/{self.number}/logs/{part:05d}.log"

    def metrics(self, part: int) -> str:
        """Key of a numbered part of the metrics, JSON lines; parts are never rewritten."""
        return f"attempts/{self.number}/metrics/{part:05d}.jsonl"
