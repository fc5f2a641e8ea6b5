"""Words that two programs share: labels, environment variables, paths, ports, exit codes, reasons. Each has one home, here."""

from enum import IntEnum, StrEnum
from typing import Final

GROUP: Final = "headrace.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "headrace.dev/v1alpha1"
KIND: Final = "TrainingJob"
PLURAL: Final = "trainingjobs"
SINGULAR: Final = "trainingjob"
SHORT_NAME: Final = "tj"

RELEASE: Final = "0.1.0"
"""The version of Headrace. `make release` writes it here too, because an image has the code but no package metadata."""

# --- Labels and annotations of trainer pods -------------------------------------------------------------------------
LABEL_PROJECT: Final = f"{GROUP}/project"
"""The job's `spec.project`."""
LABEL_JOB: Final = f"{GROUP}/job"
"""The job's `metadata.name`."""
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"
"""Which attempt of the job this pod is, from 1."""
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "headrace"
ANNOTATION_JOB: Final = f"{GROUP}/training-job"
"""The TrainingJob as JSON, as it was when the pod was created, without fields at their default: the trainer fills those in. It
reads the annotation through a downward-API file."""
RESOURCE_GPU: Final = "nvidia.com/gpu"
"""What a node offers and a trainer pod requests; the name is from NVIDIA's device plugin."""
SCHEDULING_GATE: Final = f"{GROUP}/slot"
"""A trainer pod is created with this gate; the operator removes it once it has seen that the job holds the project's slot."""

# --- The trainer's container --------------------------------------------------------------------------------------
CONTAINER: Final = "trainer"
PORT: Final = 8080
"""Where a trainer answers /healthz, /readyz, /status and /metrics."""
PORT_NAME: Final = "http"
PATH_WORKSPACE: Final = "/workspace"
PATH_TEMPORARY: Final = "/tmp"
PATH_JOB_DIRECTORY: Final = "/etc/headrace"
PATH_JOB_FILE: Final = f"{PATH_JOB_DIRECTORY}/training-job.json"
PATH_TERMINATION_LOG: Final = "/dev/termination-log"

ENV_JOB_FILE: Final = "HEADRACE_JOB_FILE"
"""File that holds the TrainingJob as JSON."""
ENV_ATTEMPT: Final = "HEADRACE_ATTEMPT"
"""Number of this attempt, from 1."""
ENV_WORKSPACE: Final = "HEADRACE_WORKSPACE"
"""Folder the trainer may write to; it wipes it however it ends."""
ENV_TERMINATION_LOG: Final = "HEADRACE_TERMINATION_LOG"
"""File for the outcome, one line of JSON."""
ENV_LISTEN_HOST: Final = "HEADRACE_LISTEN_HOST"
"""Address to listen on: the pod's own."""
ENV_LISTEN_PORT: Final = "HEADRACE_LISTEN_PORT"
"""Port to listen on."""
ENV_GRACE_SECONDS: Final = "HEADRACE_GRACE_SECONDS"
"""Seconds between SIGTERM and SIGKILL: the pod's terminationGracePeriodSeconds."""
ENV_CPUS: Final = "HEADRACE_CPUS"
"""Cores the container may use (its CPU limit, rounded up): how many threads to compute with."""
ENV_IMAGE: Final = "HEADRACE_IMAGE"
"""The trainer's own image, as the pod names it, for messages."""
ENV_OPERATOR_RELEASE: Final = "HEADRACE_OPERATOR_RELEASE"
"""RELEASE of the operator that created the pod, for messages: a job may name an image of another release."""
STORAGE_ENV: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION")
"""Keys of the storage secret, and the environment variables they become in the trainer."""
ENV_INITIAL_WEIGHTS: Final = "HEADRACE_INITIAL_WEIGHTS_"
"""Prefix of each of STORAGE_ENV: the keys of model.initialWeights.storage, if the weights are not in the dataset's storage."""
STORAGE_ENV_OPTIONAL: Final = ("AWS_ENDPOINT_URL", "AWS_REGION")
"""Keys that a storage secret may omit: the defaults are AWS's endpoint and default region."""


class ExitCode(IntEnum):
    """How a trainer's process ends; the operator decides from it what to do next."""

    OK = 0
    """Done or stopped."""
    RETRY = 1
    """An error that another attempt may not hit (storage down, a crash)."""
    FATAL = 2
    """An error that every attempt would hit (a bad dataset, a head that fits no layer)."""


class State(StrEnum):
    """The states of a job; docs/jobs.md says when each holds."""

    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    DONE = "Done"
    STOPPED = "Stopped"
    ERROR = "Error"

    @property
    def final(self) -> bool:
        """Whether a job in this state is over."""
        return self in {State.DONE, State.STOPPED, State.ERROR}


class Reason(StrEnum):
    """Why a job is in its state: `status.reason`, one CamelCase word, stable enough for scripts; `meaning` explains it."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> "Reason":
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.meaning = meaning
        return reason

    # Queued
    WAITING_FOR_EARLIER_JOB = "WaitingForEarlierJob", "Queued: earlier jobs of the project are not over; the message names them."
    WAITING_FOR_POD_TO_END = "WaitingForPodToEnd", "Queued: first in line, but a pod of the project is still ending."
    WAITING_FOR_RUNNER = "WaitingForRunner", "Queued: no node has room for the pod yet; the message is the scheduler's."
    WAITING_FOR_RETRY = "WaitingForRetry", "Queued: an attempt failed; the message says why, and when the next one starts."
    SUSPENDED = "Suspended", "Queued: `spec.suspend` is set."
    # Starting and Running
    PREPARING = "Preparing", "Starting: the pod has a node; image, dataset and network are being prepared."
    IMAGE_PULL_FAILED = "ImagePullFailed", "Starting: the kubelet cannot pull the image; it keeps trying."
    CONTAINER_CONFIG_FAILED = (
        "ContainerConfigFailed",
        "Starting: the container cannot be created, for example because the storage Secret is missing.",
    )
    TRAINING = "Training", "Running: the network is learning."
    # On the way out
    STOPPING = "Stopping", "`spec.stop` is set: the trainer checkpoints and ends."
    SUSPENDING = "Suspending", "`spec.suspend` is set: the trainer checkpoints and ends."
    NODE_LOST = "NodeLost", "The pod's node does not answer; the project waits until it is certain that the pod no longer runs."
    # Done and Stopped
    REACHED_MAX_ITERATIONS = "ReachedMaxIterations", "Done: the trainer made `training.maxIterations` iterations."
    REACHED_MAX_TRAINING_HOURS = "ReachedMaxTrainingHours", "Done: it trained for `training.maxTrainingHours`."
    STOPPED_BY_USER = "StoppedByUser", "Stopped: `spec.stop` was set."
    # In outcome.json, from the trainer
    INTERRUPTED = "Interrupted", "The trainer was asked to end, and did; only the operator knows by whom and why."
    # Error, from the operator
    BACKOFF_LIMIT_EXCEEDED = (
        "BackoffLimitExceeded",
        "Error: more failures than `spec.backoffLimit`; the message is from the last one.",
    )
    PRE_RUNNING_DEADLINE_EXCEEDED = "PreRunningDeadlineExceeded", "Error: not Running within `spec.preRunningDeadlineSeconds`."
    MISSING_STORAGE = "MissingStorage", "Error: the job names no storage or output, and the operator has no default."
    INVALID_SPEC = "InvalidSpec", "Error: the stored spec does not fit this version of Headrace."
    POD_REFUSED = "PodRefused", "The API server refuses the pod: over quota (Queued, tried again) or invalid (Error)."
    # Error, from the trainer
    BAD_DATASET = "BadDataset", "Error: dataset.json or an annotation file is missing or wrong."
    BAD_MODEL = "BadModel", "Error: the network cannot be built, for example because a head names a level that does not exist."
    NO_SUCH_LAYER = "NoSuchLayer", "Error: a head names a layer that the dataset does not have."
    NO_CONVERSION = "NoConversion", "Error: no conversion leads from the layer's task to the head's task."
    TOO_MANY_BAD_IMAGES = "TooManyBadImages", "Error: more than `dataset.maxBadImages` images or annotations cannot be read."
    STORAGE_REFUSED = "StorageRefused", "Error: the storage refuses access: a wrong key, no permission, no such bucket."
    STORAGE_UNAVAILABLE = "StorageUnavailable", "The storage does not answer, or answers with errors; the trainer tries again."
    DISK_FULL = "DiskFull", "The workspace is too small for the dataset and the checkpoints (`resources.workspace`)."
    LOSS_NOT_FINITE = "LossNotFinite", "Error: a loss became NaN or infinite; the message names head and iteration."
    OUT_OF_MEMORY = (
        "OutOfMemory",
        "The trainer or its worker was killed at its memory limit (`resources.memory`), or the GPU's memory is too small.",
    )
    TRAINER_CRASHED = "TrainerCrashed", "The trainer failed for another reason; the log has the cause."


NOT_IN_STATUS: Final = frozenset({Reason.INTERRUPTED})
"""Reasons that a trainer gives but `status.reason` never has, because the operator knows more. Older trainers say StoppedByUser and
mean the same."""


class Condition(StrEnum):
    """Types of `status.conditions`."""

    SCHEDULED = "Scheduled"
    """The job's pod has a node."""
    RUNNING = "Running"
    """The network is learning."""
    STOPPING = "Stopping"
    """The pod was asked to end."""
    SUCCEEDED = "Succeeded"
    """True for Done, False for Stopped and Error; absent until the job is over."""
