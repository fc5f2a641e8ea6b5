"""The keys of a run folder: one per job, in object storage or in a local folder (docs/decisions/0008-run-folder.md)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

LATEST = "checkpoints/latest.json"
BEST = "checkpoints/best.json"
RUN = "run.json"
CURVES = "curves.json"
COMPLETE = "complete.json"
"""In the folder of a checkpoint: its own marker, so that it can be found without LATEST."""
JOB = "job.json"
OUTCOME = "outcome.json"
MODEL = "model/"
MODEL_WEIGHTS = "model.safetensors"
"""In MODEL: the weights by name."""
MODEL_CONFIG = "config.json"
"""In MODEL: the network's configuration, and what its numbers mean."""
MODEL_CARD = "README.md"
"""In MODEL: for people, what the model is and how to use it."""
PICTURES = "pictures/"
ATTEMPTS = "attempts/"
TRUTH = "truth"
"""In PICTURES: where an evaluation would have its iteration, the pictures of the labels."""
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


def picture(iteration: int, head: str, file: str) -> str:
    """Key of a held-out image with what `head` predicts for it after `iteration` iterations."""
    return f"{PICTURES}{iteration:08d}/{head}/{file}"


def truth_picture(head: str, file: str) -> str:
    """Key of a held-out image with its labels for `head`."""
    return f"{PICTURES}{TRUTH}/{head}/{file}"


def curves_picture(iteration: int) -> str:
    """Key of the picture of all losses and scores, drawn when training is over."""
    return f"{PICTURES}{iteration:08d}-curves.png"


@dataclass(frozen=True)
class Record:
    """The keys of an attempt's log or metrics."""

    parts: str
    """The folder of the parts."""
    suffix: str
    folded: str

    def part(self, offset: int) -> str:
        """The part that begins after `offset` bytes."""
        return f"{self.parts}{offset:012d}{self.suffix}"

    def offset(self, key: str) -> int | None:
        """The reverse of `part`; None if `key` is not a part. Parts of earlier versions are numbered from 1, with five digits."""
        name = key.removeprefix(self.parts).removesuffix(self.suffix)
        return int(name) if key == f"{self.parts}{name}{self.suffix}" and re.fullmatch(r"\d{5}|\d{12}", name) else None


def next_attempt(keys: Iterable[str]) -> int:
    """The number after the last attempt that has keys among `keys`. Keys that no attempt writes are ignored."""
    return 1 + max((attempt_of(key) or 0 for key in keys), default=0)


@dataclass(frozen=True)
class Attempt:
    """The keys that belong to one attempt.

    Its log and its metrics grow in parts, each named after the number of bytes before it and never rewritten. At checkpoints and at
    the end, the parts are folded: written as one file, then deleted. So a reader that finds both needs only those parts that begin
    where the file ends, or later.
    """

    number: int

    @property
    def log(self) -> Record:
        """Lines of text."""
        return Record(f"{ATTEMPTS}{self.number}/logs/", ".log", f"{ATTEMPTS}{self.number}/log.txt")

    @property
    def metrics(self) -> Record:
        """Lines of JSON."""
        return Record(f"{ATTEMPTS}{self.number}/metrics/", ".jsonl", f"{ATTEMPTS}{self.number}/metrics.jsonl")


def attempt_of(key: str) -> int | None:
    """The number of the attempt that `key` belongs to; None if it belongs to none."""
    found = re.match(rf"{ATTEMPTS}([1-9]\d{{0,8}})/", key)
    return int(found[1]) if found else None
