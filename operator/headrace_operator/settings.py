"""The operator's settings, each from an environment variable `HEADRACE_<NAME OF THE FIELD>`."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from headrace_api.environment import EnvironmentSettings, variable

NAME = "headrace-operator"
"""Default name of the operator: its account, its roles and its leader Lease are named after it."""


def lease_of(name: str) -> str:
    """The leader Lease of the operator of that name. Its dots keep it distinct from projects' Leases, `headrace-<DNS label>`."""
    return f"{name}.headrace.dev"


class Settings(EnvironmentSettings):
    """Typed settings. Times are in seconds."""

    namespace: str = Field("headrace-system", min_length=1, description="The operator's own namespace, with its leader Lease.")
    watch_namespaces: tuple[str, ...] = Field(
        (), description="Namespaces whose TrainingJobs are run, separated by commas. Default: all."
    )
    trainer_image: str = Field(min_length=1, description="Trainer image for jobs that name none; part of a release.")
    trainer_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        None, description="imagePullPolicy of trainer pods. Default: Kubernetes decides by the image's tag."
    )
    trainer_pull_secrets: tuple[str, ...] = Field(
        (), description="Secrets, in the job's namespace, for pulling trainer images, separated by commas."
    )
    default_storage_secret: str | None = Field(
        None, description="Secret, in the job's namespace, for jobs without spec.storage. Default: such jobs end in Error."
    )
    default_output_uri: str | None = Field(
        None, pattern=r"^s3://", description="s3:// folder for jobs without spec.output. Default: such jobs end in Error."
    )
    listen_host: str = Field("", description='Address of /metrics, /healthz and /readyz. "": all IPv4 and IPv6 addresses.')
    metrics_port: int = Field(8081, ge=0, le=65535, description="Port of /metrics, /healthz and /readyz; 0: a free port, logged.")
    workers: int = Field(64, ge=1, le=1024, description="Projects handled concurrently; they mostly wait for the API server.")
    backoff_base: float = Field(10, gt=0, description="Pause before the first retry; doubles with every failure.")
    backoff_cap: float = Field(360, gt=0, description="The longest pause before a retry.")
    progress_poll: float = Field(2, gt=0, description="Pause between two polls of a running trainer's /status.")
    progress_write: float = Field(
        5,
        ge=0,
        description="Shortest pause between two writes of a job's status.progress; new checkpoints and evaluations go out at once.",
    )
    waiting_messages_per_second: float = Field(
        10,
        gt=0,
        description="Rate, over all jobs, of status writes that only renew which jobs are ahead (n jobs in line: n²/2 writes).",
    )
    resync: float = Field(300, gt=0, description="Pause between two LISTs that replace the state from the watches.")
    leader_lease: float = Field(15, ge=1, description="Duration of the leader's Lease: the longest pause after a leader is killed.")
    leader_lease_name: str = Field(
        lease_of(NAME),
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)+$",
        max_length=253,
        description="Name of that Lease: the same for all replicas of a release, different for each release. It contains a dot.",
    )
    node_look: float = Field(10, gt=0, description="Pause between two checks of the node of a pod that does not end or answer.")
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
            raise ValueError(f"should be at least {variable('backoff_base')}, which is {base:g}, but is {value:g}")
        return value

    @property
    def all_namespaces(self) -> bool:
        """Whether the operator serves the whole cluster."""
        return not self.watch_namespaces


def described() -> dict[str, str]:
    """What each setting is for, with its default and unit, by field name."""
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
