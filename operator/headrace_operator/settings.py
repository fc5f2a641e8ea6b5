"""What can be set about an operator, each from an environment variable `HEADRACE_<NAME OF THE FIELD>`."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from headrace_api.environment import EnvironmentSettings, variable

NAME = "headrace-operator"
"""Of the operator where nobody gave it another: its account, its roles and its leader Lease are named after it."""


def lease_of(name: str) -> str:
    """The leader Lease of the operator of that name. Its dots keep it from being a project's, `headrace-<DNS label>`."""
    return f"{name}.headrace.dev"


class Settings(EnvironmentSettings):
    """Typed settings. Times are in seconds."""

    namespace: str = Field("headrace-system", min_length=1, description="The operator's own: its leader Lease lies there.")
    watch_namespaces: tuple[str, ...] = Field(
        (), description="Namespaces whose TrainingJobs are run, with commas between them. Default: all of them."
    )
    trainer_image: str = Field(min_length=1, description="Image of trainers whose job names none; it belongs to a release.")
    trainer_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        None, description="imagePullPolicy of trainer pods. Default: Kubernetes' own, by the image's tag."
    )
    trainer_pull_secrets: tuple[str, ...] = Field(
        (), description="Secrets, in the job's namespace, that pull trainers' images, with commas between them."
    )
    default_storage_secret: str | None = Field(
        None, description="Secret, in the job's namespace, for jobs without spec.storage. Default: such jobs end in Error."
    )
    default_output_uri: str | None = Field(
        None, pattern=r"^s3://", description="s3:// folder for jobs without spec.output. Default: such jobs end in Error."
    )
    listen_host: str = Field("", description='Address of /metrics, /healthz and /readyz. "": all, of IPv4 and of IPv6.')
    metrics_port: int = Field(8081, ge=0, le=65535, description="Port of /metrics, /healthz and /readyz; 0: a free one, logged.")
    workers: int = Field(64, ge=1, le=1024, description="Projects worked on at once; they mostly wait for the server.")
    backoff_base: float = Field(10, gt=0, description="Pause before the first retry; doubles with every failure.")
    backoff_cap: float = Field(360, gt=0, description="The longest pause before a retry.")
    progress_poll: float = Field(2, gt=0, description="Pause between two looks at a running trainer's /status.")
    progress_write: float = Field(
        5, ge=0, description="status.progress is written at most this often for a job; a new checkpoint or evaluation at once."
    )
    waiting_messages_per_second: float = Field(
        10,
        gt=0,
        description="Rate, over all jobs, of status writes that only renew whom a job waits behind (n jobs in line: n²/2 of them).",
    )
    resync: float = Field(300, gt=0, description="Pause between two LISTs that replace what the watches said.")
    leader_lease: float = Field(
        15, ge=1, description="How long the leader's Lease holds: the longest pause after a leader is killed."
    )
    leader_lease_name: str = Field(
        lease_of(NAME),
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)+$",
        max_length=253,
        description="Name of that Lease: the same for all replicas of a release, another for each release. It has a dot.",
    )
    node_look: float = Field(10, gt=0, description="Pause between two looks at the node of a pod that does not end or answer.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @field_validator("watch_namespaces", "trainer_pull_secrets", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("backoff_cap")
    @classmethod
    def _cap_at_least_base(cls, value: float, info: ValidationInfo) -> float:
        base = info.data.get("backoff_base")
        if base is not None and value < base:
            raise ValueError(f"should be at least {variable('backoff_base')}, which is {base:g}, and is {value:g}")
        return value

    @property
    def all_namespaces(self) -> bool:
        """Whether the operator serves the whole cluster."""
        return not self.watch_namespaces


def described() -> dict[str, str]:
    """What each setting is for, with its default and the unit of that, by the field's name."""
    return {name: f"{field.description} {_default(name, field)}".rstrip() for name, field in Settings.model_fields.items()}


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "Required."
    if field.default in (None, ()):
        return "" if "Default: " in (field.description or "") else "[default none]"
    if name.endswith("_per_second"):
        return f"[default {field.default:g} per second]"
    if field.annotation is float:
        return f"[default {field.default:g} s]"
    return f"[default {field.default}]" if field.default != "" else '[default ""]'
