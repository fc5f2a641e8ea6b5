"""The jobs that the demo submits: two projects, in the order in which it applies them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace_api.names import API_VERSION, KIND, Reason, State

NAMESPACE = "demo"
DATASET_BUCKET = "datasets"
RUN_BUCKET = "runs"
DATASET_KEY = "dataset"

SIZE = 96
"""Side of the networks' input images, in pixels."""


@dataclass(frozen=True)
class DemoJob:
    """A job, and what the demo must have observed of it at the end."""

    name: str
    project: str
    purpose: str
    heads: list[dict[str, Any]] = field(default_factory=list)
    iterations: int = 200
    stop_at: int | None = None
    """Iteration at which the demo's user stops it."""
    state: State = State.DONE
    reason: Reason | None = None
    better_than: dict[tuple[str, str], float] = field(default_factory=dict)
    """(head, score) -> what the network must exceed; it is above the score of guessing (AP50 0, mIoU 0.06, mAP 0.6, top1 0.25)."""

    def manifest(self) -> dict[str, Any]:
        """The TrainingJob as a user would write it."""
        # Digits are 25 to 45 pixels: level 4, with stride 16, is the highest that sees a whole digit.
        neck = {"fpn": {"channels": 64}, "bottomLevel": 2, "topLevel": 4}
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {
                "project": self.project,
                "dataset": {"uri": f"s3://{DATASET_BUCKET}/{DATASET_KEY}/"},
                "storage": {"secretRef": {"name": "headrace-storage"}},
                "output": {"uri": f"s3://{RUN_BUCKET}/"},
                "model": {"backbone": {"name": "resnet18", "topLevel": 4}, "neck": neck, "heads": self.heads},
                "training": {
                    "maxIterations": self.iterations,
                    "batchSize": 8,
                    "imageSize": {"height": SIZE, "width": SIZE},
                    "optimizer": {"adamw": {"learningRate": 0.002}},
                    "schedule": {"warmupIterations": 20},
                    "augmentation": {"horizontalFlip": False},
                    "evaluateEvery": 1000,
                    "checkpointEvery": 50,
                },
                # One core per job, so that the two projects do not slow each other down on two cores.
                "resources": {"gpus": 1, "cpu": 1, "memory": "4Gi", "workspace": "2Gi"},
                "terminationGracePeriodSeconds": 60,
            },
        }


DIGITS = {"name": "boxes", "annotations": "digits", "objectDetection": {}}
TAGS = {"name": "tags", "annotations": "regions", "multilabelClassification": {}}
REGIONS = {"name": "regions", "annotations": "regions", "semanticSegmentation": {}}
TEXTURE = {"name": "texture", "annotations": "texture", "multiclassClassification": {}}
WRONG = {"name": "boxes", "annotations": "digit-boxes", "objectDetection": {}}


def jobs_on_digit_scenes() -> list[DemoJob]:
    """The jobs for the dataset that the demo draws itself."""
    return [
        DemoJob(
            "digits-1",
            "digits",
            "finds digits, and learns tags from the regions' classes",
            [DIGITS, TAGS],
            iterations=180,
            better_than={("boxes", "AP50"): 0.1, ("tags", "mAP"): 0.63},
        ),
        DemoJob("digits-2", "digits", "names a layer that does not exist", [WRONG], state=State.ERROR, reason=Reason.NO_SUCH_LAYER),
        DemoJob(
            "digits-3",
            "digits",
            "waits its turn, then segments regions",
            [REGIONS],
            iterations=100,
            better_than={("regions", "mIoU"): 0.2},
        ),
        DemoJob(
            "scenes-1",
            "scenes",
            "is stopped by its user while it runs",
            [REGIONS, TEXTURE],
            iterations=5000,
            stop_at=30,
            state=State.STOPPED,
            reason=Reason.STOPPED_BY_USER,
        ),
        DemoJob(
            "scenes-2",
            "scenes",
            "learns three heads at once on partly labelled images",
            [DIGITS, REGIONS, TEXTURE],
            iterations=180,
            better_than={("boxes", "AP50"): 0.1, ("regions", "mIoU"): 0.2, ("texture", "top1"): 0.5},
        ),
    ]


def jobs_on_own_dataset(heads: Sequence[dict[str, Any]]) -> list[DemoJob]:
    """The jobs for a user's folder, which promise no scores. Without `heads`, each layer gets one."""
    learns = "learns every layer of the dataset" if not heads else "learns without labels"
    return [
        DemoJob("first-1", "first", learns, list(heads), iterations=150),
        DemoJob("first-2", "first", "names a layer that does not exist", [WRONG], state=State.ERROR, reason=Reason.NO_SUCH_LAYER),
        DemoJob("first-3", "first", "waits its turn", list(heads), iterations=60),
        DemoJob(
            "second-1",
            "second",
            "is stopped by its user while it runs",
            list(heads),
            iterations=5000,
            stop_at=30,
            state=State.STOPPED,
            reason=Reason.STOPPED_BY_USER,
        ),
        DemoJob("second-2", "second", "takes over", list(heads), iterations=100),
    ]
