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
"""The whole TrainingJob as JSON, as it was when the pod was made. The trainer reads it through a downward-API file."""
SCHEDULING_GATE: Final = f"{GROUP}/slot"
"""A trainer pod is created with this gate, and loses it once its job is seen to hold the project's slot."""

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
"""Folder the trainer may write to; wiped on every way out."""
ENV_TERMINATION_LOG: Final = "HEADRACE_TERMINATION_LOG"
"""File that takes the outcome, one line of JSON."""
ENV_LISTEN_HOST: Final = "HEADRACE_LISTEN_HOST"
"""Address to listen on: the pod's own."""
ENV_LISTEN_PORT: Final = "HEADRACE_LISTEN_PORT"
"""Port to listen on."""
ENV_GRACE_SECONDS: Final = "HEADRACE_GRACE_SECONDS"
"""Seconds between SIGTERM and SIGKILL: the pod's terminationGracePeriodSeconds."""
ENV_CPUS: Final = "HEADRACE_CPUS"
"""Cores the container may use (its CPU limit, rounded up): how many threads to compute with."""
STORAGE_ENV: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION")
"""Keys of the storage secret, and the environment variables they become in the trainer."""
STORAGE_ENV_OPTIONAL: Final = ("AWS_ENDPOINT_URL", "AWS_REGION")
"""Those a storage secret may lack: AWS's own endpoint and its default region are meant then."""


class ExitCode(IntEnum):
    """How a trainer's process ends; the operator decides by it what comes next."""

    OK = 0
    """Done or stopped."""
    RETRY = 1
    """An error that another attempt may not meet (storage away, a crash)."""
    FATAL = 2
    """An error that every attempt would meet (a bad dataset, a head that fits no layer)."""


class State(StrEnum):
    """The states of a job, as seed 002 names them."""

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
    """Why a job is in its state: `status.reason`, one CamelCase word, stable enough for scripts."""

    # Queued
    WAITING_FOR_EARLIER_JOB = "WaitingForEarlierJob"
    WAITING_FOR_POD_TO_END = "WaitingForPodToEnd"
    WAITING_FOR_RUNNER = "WaitingForRunner"
    WAITING_FOR_RETRY = "WaitingForRetry"
    SUSPENDED = "Suspended"
    # Starting
    PREPARING = "Preparing"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_CONFIG_FAILED = "ContainerConfigFailed"
    # Running
    TRAINING = "Training"
    # On the way out
    STOPPING = "Stopping"
    SUSPENDING = "Suspending"
    NODE_LOST = "NodeLost"
    # Done
    REACHED_MAX_ITERATIONS = "ReachedMaxIterations"
    REACHED_MAX_TRAINING_HOURS = "ReachedMaxTrainingHours"
    # Stopped
    STOPPED_BY_USER = "StoppedByUser"
    # Error, from the operator
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    PRE_RUNNING_DEADLINE_EXCEEDED = "PreRunningDeadlineExceeded"
    MISSING_STORAGE = "MissingStorage"
    INVALID_SPEC = "InvalidSpec"
    POD_REFUSED = "PodRefused"
    # Error, from the trainer
    BAD_DATASET = "BadDataset"
    BAD_MODEL = "BadModel"
    NO_SUCH_LAYER = "NoSuchLayer"
    NO_CONVERSION = "NoConversion"
    TOO_MANY_BAD_IMAGES = "TooManyBadImages"
    STORAGE_REFUSED = "StorageRefused"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    DISK_FULL = "DiskFull"
    LOSS_NOT_FINITE = "LossNotFinite"
    OUT_OF_MEMORY = "OutOfMemory"
    TRAINER_CRASHED = "TrainerCrashed"


class Condition(StrEnum):
    """Types of `status.conditions`."""

    SCHEDULED = "Scheduled"
    """A runner took the job's pod."""
    RUNNING = "Running"
    """The network is learning."""
    STOPPING = "Stopping"
    """The pod was told to end."""
    SUCCEEDED = "Succeeded"
    """True for Done, False for Stopped and Error; absent until the job is over."""
