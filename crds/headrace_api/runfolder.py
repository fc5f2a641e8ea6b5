"""The keys of a run folder: one per job, in object storage or in a local folder (docs/decisions/0008-run-folder.md)."""

from dataclasses import dataclass

LATEST = "checkpoints/latest.json"
BEST = "checkpoints/best.json"
JOB = "job.json"
OUTCOME = "outcome.json"
MODEL = "model/"
MODEL_WEIGHTS = "model.safetensors"
"""In MODEL: the weights by name."""
MODEL_CONFIG = "config.json"
"""In MODEL: the network's configuration, and what its numbers mean."""
MODEL_CARD = "README.md"
"""In MODEL: for people, what the model is and how to use it."""
CURVES = "curves.json"
PICTURES = "pictures/"
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
    """Key prefix of the checkpoint taken after `iteration` iterations; complete only once LATEST names it."""
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
class Attempt:
    """The keys that belong to one attempt."""

    number: int

    def log(self, part: int) -> str:
        """Key of a numbered part of the log; parts are never rewritten."""
        return f"attempts/{self.number}/logs/{part:05d}.log"

    def metrics(self, part: int) -> str:
        """Key of a numbered part of the metrics, JSON lines; parts are never rewritten."""
        return f"attempts/{self.number}/metrics/{part:05d}.jsonl"
