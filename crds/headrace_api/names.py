"""The names that programs share: labels, environment variables, paths, ports, exit codes, reasons. They are defined only here."""

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
"""The TrainingJob as JSON, as it was when the pod was created, without fields at their defaults: the trainer fills those in. It
reads the annotation through a downward-API file."""
ANNOTATION_DUPLICATED_FROM: Final = f"{GROUP}/duplicated-from"
"""On a TrainingJob: the job or run folder that it is a copy of."""
RESOURCE_GPU: Final = "nvidia.com/gpu"
"""The resource that nodes offer and trainer pods request; the name comes from NVIDIA's device plugin."""
SCHEDULING_GATE: Final = f"{GROUP}/slot"
"""The gate that each trainer pod starts with; the operator removes it after it confirms that the job holds the project's slot."""

# --- The trainer's container --------------------------------------------------------------------------------------
CONTAINER: Final = "trainer"
PORT: Final = 8080
"""The port where a trainer serves /healthz, /readyz, /status and /metrics."""
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
"""Folder that the trainer may write to. It wipes the folder when it ends, for whatever reason."""
ENV_TERMINATION_LOG: Final = "HEADRACE_TERMINATION_LOG"
"""File for the outcome, one line of JSON."""
ENV_LISTEN_HOST: Final = "HEADRACE_LISTEN_HOST"
"""Address to listen on: the pod's own."""
ENV_LISTEN_PORT: Final = "HEADRACE_LISTEN_PORT"
"""Port to listen on."""
ENV_GRACE_SECONDS: Final = "HEADRACE_GRACE_SECONDS"
"""Seconds between SIGTERM and SIGKILL: the pod's terminationGracePeriodSeconds."""
ENV_CPUS: Final = "HEADRACE_CPUS"
"""Cores that the container may use (its CPU limit, rounded up), which sets the number of compute threads."""
ENV_IMAGE: Final = "HEADRACE_IMAGE"
"""The trainer's own image as named in the pod, for messages."""
ENV_OPERATOR_RELEASE: Final = "HEADRACE_OPERATOR_RELEASE"
"""RELEASE of the operator that created the pod, for messages: a job can name an image from another release."""
STORAGE_ENV: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION")
"""Keys of the storage secret, and the environment variables they become in the trainer."""
ENV_INITIAL_WEIGHTS: Final = "HEADRACE_INITIAL_WEIGHTS_"
"""Prefix for each variable in STORAGE_ENV: the keys of model.initialWeights.storage, if the weights have their own storage."""
STORAGE_ENV_OPTIONAL: Final = ("AWS_ENDPOINT_URL", "AWS_REGION")
"""Keys that a storage secret may omit: they default to AWS's endpoint and default region."""


class ExitCode(IntEnum):
    """How a trainer's process ends; the operator decides from it what to do next."""

    OK = 0
    """Done or stopped."""
    RETRY = 1
    """An error that another attempt may avoid (storage down, a crash)."""
    FATAL = 2
    """An error that every attempt would hit (a bad dataset, a head without a matching layer)."""


class State(StrEnum):
    """The states of a job; docs/jobs.md explains them."""

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
    WAITING_FOR_EARLIER_JOB = (
        "WaitingForEarlierJob",
        "Queued: earlier jobs of the project are not over; the message names the first few.",
    )
    WAITING_FOR_POD_TO_END = "WaitingForPodToEnd", "Queued: first in line, but an old pod is in the way; the message names it."
    WAITING_FOR_RUNNER = "WaitingForRunner", "Queued: the scheduler has not found a node for the pod yet; the message says why."
    WAITING_FOR_RETRY = (
        "WaitingForRetry",
        "Queued: the last attempt ended early; the message says why, and when the next one starts.",
    )
    SUSPENDED = "Suspended", "Queued: `spec.suspend` is set."
    # Starting and Running
    PREPARING = "Preparing", "Starting: the pod has a node and prepares the image, the dataset and the network."
    IMAGE_PULL_FAILED = "ImagePullFailed", "Starting: the kubelet cannot pull the image; it keeps trying."
    CONTAINER_CONFIG_FAILED = (
        "ContainerConfigFailed",
        "Starting: the container cannot be created, for example because the storage Secret is missing.",
    )
    TRAINING = "Training", "Running: the network is training."
    # On the way out
    STOPPING = (
        "Stopping",
        "The trainer saves a checkpoint and exits: `spec.stop` is set, or the pod is being deleted and another attempt follows.",
    )
    SUSPENDING = "Suspending", "`spec.suspend` is set: the trainer saves a checkpoint and exits."
    NODE_LOST = "NodeLost", "The pod's node does not answer; the project waits until the pod has certainly stopped running."
    # Done and Stopped
    REACHED_MAX_ITERATIONS = "ReachedMaxIterations", "Done: the job completed `spec.training.maxIterations` iterations."
    REACHED_MAX_TRAINING_HOURS = "ReachedMaxTrainingHours", "Done: the job trained for `spec.training.maxTrainingHours`."
    STOPPED_BY_USER = "StoppedByUser", "Stopped: `spec.stop` was set."
    # In outcome.json, from the trainer
    INTERRUPTED = "Interrupted", "The trainer stopped because it was asked to; only the operator knows who asked and why."
    # Error, from the operator
    BACKOFF_LIMIT_EXCEEDED = (
        "BackoffLimitExceeded",
        "Error: the job failed more often than `spec.backoffLimit` allows; the message describes the last failure.",
    )
    PRE_RUNNING_DEADLINE_EXCEEDED = (
        "PreRunningDeadlineExceeded",
        "Error: an attempt was not Running `spec.preRunningDeadlineSeconds` after its pod was created.",
    )
    MISSING_STORAGE = "MissingStorage", "Error: `spec.storage` or `spec.output` is missing, and the operator has no default for it."
    INVALID_SPEC = "InvalidSpec", "Error: the spec is not valid for this version of Headrace; the message says why."
    POD_REFUSED = (
        "PodRefused",
        "The API server refuses the pod: because of a quota, a policy or a missing permission (Queued, the operator keeps trying), "
        "or because it is invalid (Error).",
    )
    # Error, from the trainer
    BAD_DATASET = (
        "BadDataset",
        "Error: the dataset is unusable; for example, dataset.json or an annotation file is wrong.",
    )
    BAD_MODEL = (
        "BadModel",
        "Error: the network cannot be built, or weights do not fit it; for example, a head names a level that does not exist.",
    )
    BAD_CHECKPOINT = (
        "BadCheckpoint",
        "Error: every checkpoint in the run folder is damaged or cannot be loaded; the message says what is wrong.",
    )
    NO_SUCH_LAYER = (
        "NoSuchLayer",
        "Error: a head names a layer that the dataset does not have, or the dataset has no layers.",
    )
    NO_CONVERSION = "NoConversion", "Error: the layer's annotations cannot be converted to the head's task."
    TOO_MANY_BAD_IMAGES = (
        "TooManyBadImages",
        "Error: the dataset has more bad images and annotations than `spec.dataset.maxBadImages` allows.",
    )
    STORAGE_REFUSED = "StorageRefused", "Error: storage refuses access; for example, a key is wrong or the bucket does not exist."
    STORAGE_UNAVAILABLE = "StorageUnavailable", "The attempt failed because storage did not answer, or answered with errors."
    UPLOAD_INCOMPLETE = (
        "UploadIncomplete",
        "The attempt ended before all its results could be uploaded; the message names what is missing and what is saved.",
    )
    DISK_FULL = (
        "DiskFull",
        "The workspace (`spec.resources.workspace`) is too small for the dataset and the checkpoints, or a local output is full.",
    )
    LOSS_NOT_FINITE = (
        "LossNotFinite",
        "Error: a loss became NaN or infinite; the message names the head, the iteration, and a label that is far from all others.",
    )
    OUT_OF_MEMORY = (
        "OutOfMemory",
        "The kernel killed the trainer at its memory limit (`spec.resources.memory`), or the GPU's memory is too small.",
    )
    TRAINER_CRASHED = "TrainerCrashed", "The trainer failed for another reason; its log shows the cause."


NOT_IN_STATUS: Final = frozenset({Reason.INTERRUPTED})
"""Reasons that a trainer reports but `status.reason` never shows, because the operator knows more. Older trainers report
StoppedByUser instead."""


class Condition(StrEnum):
    """Types of `status.conditions`."""

    SCHEDULED = "Scheduled"
    """The job's pod has a node."""
    RUNNING = "Running"
    """The network is training."""
    STOPPING = "Stopping"
    """The pod was asked to end."""
    SUCCEEDED = "Succeeded"
    """True for Done, False for Stopped and Error; absent until the job is over."""
