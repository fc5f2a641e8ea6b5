"""The TrainingJob: what a user writes (`spec`) and what the operator answers (`status`)."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from headrace_api.fields import DnsLabel, Model, Quantity, Rule, S3Uri, Timestamp
from headrace_api.model import Network, default_network
from headrace_api.names import API_VERSION, KIND, NOT_IN_STATUS, Reason, State
from headrace_api.storage import Storage
from headrace_api.training import Training


class Dataset(Model):
    """Where the images and annotations are."""

    uri: S3Uri = Field(description="Folder of the dataset, with or without a dataset.json at its root.")
    max_bad_images: int = Field(
        10,
        ge=0,
        le=1_000_000,
        description="How many bad images and annotations, together, the job tolerates before it ends in Error.",
    )


class Output(Model):
    """Where run folders go."""

    uri: S3Uri = Field(description="Folder for run folders: <namespace>/<project>/<job>-<first 8 of the uid>/.")


class Resources(Model):
    """Requests and limits of the trainer pod."""

    gpus: int = Field(1, ge=0, le=1, description="GPUs (nvidia.com/gpu). 0 trains on the CPU.")
    cpu: Quantity = Field("4", description="Cores.")
    memory: Quantity = Field("16Gi", description="Memory, including files in /dev/shm.")
    workspace: Quantity = Field("50Gi", description="Local disk for the dataset and checkpoints; wiped at the end.")


class Toleration(Model):
    """A toleration, as in a Pod."""

    key: str | None = Field(None, max_length=316, description="Taint key; empty with operator Exists matches every taint.")
    operator: Literal["Exists", "Equal"] | None = Field(None, description="Default: Equal.")
    value: str | None = Field(None, max_length=63, description="Taint value, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(None, description="Default: all effects.")
    toleration_seconds: int | None = Field(None, ge=0, description="Seconds to tolerate a NoExecute taint. Default: forever.")


class Scheduling(Model):
    """Copied to the pod."""

    priority_class_name: str | None = Field(None, min_length=1, max_length=253, description="PriorityClass of the pod.")
    node_selector: Annotated[dict[str, str], Field(max_length=32)] | None = Field(
        None, description="Labels that the node must have."
    )
    tolerations: Annotated[list[Toleration], Field(max_length=32)] | None = Field(
        None, description="Taints that the pod tolerates."
    )


_SECONDS_OF_A_YEAR = 31_536_000


class TrainingJobSpec(Model):
    """Trains one network on one dataset. Jobs of one project run one at a time, in the order they were submitted."""

    project: Annotated[
        DnsLabel,
        Rule("self == oldSelf", "project is immutable: delete the job and apply it to the other project"),
    ] = Field(description="Jobs of the same project and namespace wait for each other.")
    description: str = Field("", max_length=1024, description="For people: what this job tries. Shown wherever runs are compared.")
    dataset: Dataset = Field(description="What to train on.")
    storage: Storage | None = Field(None, description="Credentials for dataset and output. Default: the operator's, if it has one.")
    output: Output | None = Field(None, description="Where the run folder goes. Default: the operator's, if it has one.")
    model: Network = Field(
        default_factory=default_network,
        description="Backbone, neck and heads. Default: ResNet-50 with an FPN on levels 3 to 7. If you set a model without a neck, "
        "it has none.",
    )
    training: Training = Field(default_factory=Training, description="How to train.")
    resources: Resources = Field(default_factory=Resources, description="Requests and limits of the trainer pod.")
    scheduling: Scheduling = Field(default_factory=Scheduling, description="Where the trainer pod may run.")
    image: str | None = Field(
        None,
        min_length=1,
        max_length=1024,
        description="Trainer image. Default: the one of the operator's release.",
    )
    suspend: bool = Field(
        False,
        description="Pause: a running job checkpoints, releases its GPU and keeps its place; later jobs go first.",
    )
    stop: Annotated[bool, Rule("self || !oldSelf", "stop is final: apply the job again under another name")] = Field(
        False, description="Cancel for good, as soon as possible, after a checkpoint."
    )
    backoff_limit: int = Field(
        3,
        ge=0,
        le=100,
        description="How many trainer failures are retried from the last checkpoint. A lost node or an eviction does not count.",
    )
    pre_running_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=_SECONDS_OF_A_YEAR,
        description="Seconds an attempt may take from pod creation to Running before the job ends in Error. Default: no limit.",
    )
    ttl_seconds_after_finished: int | None = Field(
        None,
        ge=0,
        le=_SECONDS_OF_A_YEAR,
        description="Seconds after its end until the TrainingJob is deleted; its run folder stays. Default: never.",
    )
    termination_grace_period_seconds: int = Field(
        120, ge=1, le=86_400, description="Seconds to checkpoint, upload and wipe after SIGTERM."
    )


class ObjectMeta(Model):
    """The part of Kubernetes' metadata that Headrace reads; other fields are accepted."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1, max_length=253)
    namespace: str = "default"
    uid: str = ""
    creation_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


_LIMITS = ("max_iterations", "max_training_hours")
"""Parts of spec.training that may change after the start; changes apply from the next attempt."""


def _fixed_after_start(field: str) -> Rule:
    """A rule on the whole object: `spec.<field>` cannot change after the first attempt.

    Written with plain selections: CEL's optional ones (`.?field`) have no declared size, so the API server estimates that
    they exceed its cost budget (seen on 1.35).
    """
    path = f"spec.{to_camel(field)}"
    if field == "training":
        equal = " && ".join(_unchanged("spec.training", Training, name) for name in Training.model_fields if name not in _LIMITS)
    else:
        equal = _unchanged("spec", TrainingJobSpec, field)
    limits = " (except maxIterations and maxTrainingHours)" if field == "training" else ""
    return Rule(
        f"!has(oldSelf.status) || !has(oldSelf.status.attempts) || oldSelf.status.attempts == 0 || ({equal})",
        f"{path}{limits} is fixed once the job has started: apply a new job under another name",
        field_path=f".{path}",
    )


def _unchanged(parent: str, model: type[Model], field: str) -> str:
    """CEL: the field did not change. If it has no default, being absent counts as a value."""
    path = f"{parent}.{to_camel(field)}"
    equal = f"self.{path} == oldSelf.{path}"
    if model.model_fields[field].get_default(call_default_factory=True, validated_data={}) is not None or field == "dataset":
        return equal
    return f"has(self.{path}) == has(oldSelf.{path}) && (!has(self.{path}) || {equal})"


class TrainingJob(Model):
    """A request to train one network on one dataset, and its outcome."""

    model_config = ConfigDict(extra="ignore")

    api_version: Literal["headrace.dev/v1alpha1"] = API_VERSION
    kind: Literal["TrainingJob"] = KIND
    metadata: ObjectMeta
    spec: TrainingJobSpec

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.metadata.name.size() <= 52",
            "metadata.name must be at most 52 characters: pods are named <job>-<attempt>",
        ),
        Rule(
            "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be a DNS label: lower-case letters, digits and '-'",
        ),
        *(
            _fixed_after_start(field)
            for field in (
                "dataset",
                "storage",
                "output",
                "model",
                "training",
                "resources",
                "scheduling",
                "image",
            )
        ),
    )


class Better(StrEnum):
    """Which values of a score are better."""

    HIGHER = "higher"
    LOWER = "lower"


class MetricValue(Model):
    """One score of the last evaluation."""

    head: str = Field(max_length=63, description="Name of the head.")
    name: str = Field(max_length=63, description="Name of the metric, as the head documents it.")
    value: float = Field(description="The score.")
    iteration: int = Field(ge=0, description="Iterations done when it was measured.")
    better: Better | None = Field(None, description="Which values are better; absent if an older trainer measured it.")
    unit: str = Field("", max_length=63, description="Unit of the score; empty for shares and other plain numbers.")
    primary: bool = Field(False, description="Whether it is the head's main score, by which the best checkpoint is chosen.")


class Progress(Model):
    """How far the training is."""

    iteration: int = Field(0, ge=0, description="Iterations done, over all attempts.")
    max_iterations: int = Field(0, ge=0, description="Iterations to do in total.")
    percentage: int = Field(0, ge=0, le=100, description="Percent of the iterations or the hours done, whichever is more.")
    estimated_remaining_seconds: int | None = Field(None, ge=0, description="Seconds left at the current speed.")
    trained_seconds: int = Field(0, ge=0, description="Seconds of training, over all attempts.")
    metrics: list[MetricValue] = Field(default_factory=list, max_length=64, description="Scores of the last evaluation.")
    score: str = Field("", max_length=1024, description='For people: the main score of each head, "boxes AP 0.312".')
    last_updated_time: Timestamp | None = Field(None, description="When the operator last heard from the trainer.")


class Checkpoint(Model):
    """A complete checkpoint."""

    uri: str = Field(max_length=2048, description="Its folder.")
    iteration: int = Field(ge=0, description="Iterations done when it was taken.")


class LastAttempt(Model):
    """How the last finished attempt ended. An attempt is counted once, when it is written here."""

    number: int = Field(ge=1, description="Number of the attempt, from 1.")
    exit_code: int | None = Field(None, description="Exit code of the trainer, if known.")
    reason: str = Field(max_length=253, description="One word: why it ended.")
    message: str = Field("", max_length=4096, description="For people: why it ended.")
    charged: bool = Field(description="Whether it counts as a failure towards backoffLimit.")
    finished_time: Timestamp = Field(description="When it ended.")


class ConditionStatus(Model):
    """A condition, as in every Kubernetes object."""

    type: str = Field(max_length=316, description="Scheduled, Running, Stopping or Succeeded.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: str = Field(max_length=1024, description="One word: why it has this status.")
    message: str = Field("", max_length=32768, description="For people: details of the status.")
    last_transition_time: Timestamp = Field(description="When the status last changed.")
    observed_generation: int | None = Field(None, ge=0, description="Generation of the spec that it describes.")


def _reasons_of_jobs(schema: dict[str, Any]) -> None:
    del schema["anyOf"]
    schema |= {"enum": [reason.value for reason in Reason if reason not in NOT_IN_STATUS], "type": "string"}


class TrainingJobStatus(Model):
    """Written only by the operator; bounded in size."""

    model_config = ConfigDict(extra="ignore")

    state: State | None = Field(None, description="Queued, Starting, Running, Done, Stopped or Error.")
    reason: Reason | None = Field(None, description="One word: why the job is in this state.", json_schema_extra=_reasons_of_jobs)
    message: str = Field(
        "",
        max_length=4096,
        description="For people: what the job waits for, or what went wrong and what would be right.",
    )
    conditions: list[ConditionStatus] = Field(
        default_factory=list,
        max_length=8,
        description="Scheduled, Running, Stopping, Succeeded.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    observed_generation: int | None = Field(None, ge=0, description="Generation of the spec that this status describes.")
    attempts: int = Field(0, ge=0, description="Attempts started.")
    restarts: int = Field(0, ge=0, description="Attempts started after the first.")
    failures: int = Field(0, ge=0, description="Attempts that count towards backoffLimit.")
    last_attempt: LastAttempt | None = Field(None, description="How the last finished attempt ended.")
    next_attempt_time: Timestamp | None = Field(None, description="A failed job is not retried before this time.")
    pod: str | None = Field(None, max_length=253, description="Pod of the current or last attempt.")
    node: str | None = Field(None, max_length=253, description="Node where it runs or ran.")
    start_time: Timestamp | None = Field(None, description="When the first attempt's pod was created.")
    running_time: Timestamp | None = Field(None, description="When the first iteration was done.")
    completion_time: Timestamp | None = Field(None, description="When the job ended.")
    progress: Progress | None = Field(None, description="How far the training is.")
    checkpoint: Checkpoint | None = Field(None, description="The last complete checkpoint.")
    output: str | None = Field(None, max_length=2048, description="The run folder.")


def parse_job(document: dict[str, Any]) -> TrainingJob:
    """A TrainingJob from a parsed manifest or API object.

    Raises `pydantic.ValidationError`; `wrong_fields` explains it.
    """
    return TrainingJob.model_validate(document)
