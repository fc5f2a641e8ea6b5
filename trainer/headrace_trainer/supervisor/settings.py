"""A trainer's settings, from its environment and command line."""

import math
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from headrace_api import names
from headrace_api.environment import BadSettingsError, EnvironmentSettings
from headrace_api.errors import FatalError
from headrace_api.names import Reason


class Settings(EnvironmentSettings):
    """The settings of one attempt. Times are in seconds."""

    job_file: Path = Field(description="File with the TrainingJob as JSON; you can also name it on the command line.")
    workspace: Path = Field(Path(names.PATH_WORKSPACE), description="Working folder; wiped at the end.")
    environment: dict[str, str] = Field(
        repr=False, description="The whole environment: the storage's keys, and what the worker inherits."
    )
    dataset: str | None = Field(
        None, description="Replaces spec.dataset.uri: s3://bucket/prefix/, or a folder, which is used in place."
    )
    output: str | None = Field(None, description="Replaces spec.output.uri: s3://bucket/prefix/ or a folder.")
    initial_weights: str | None = Field(
        None, description="Replaces spec.model.initialWeights.uri: s3://... or a path, which is only read."
    )
    attempt: int | None = Field(None, ge=1, description="Number of this attempt. Default: the run folder's last attempt plus one.")
    termination_log: Path | None = Field(None, description="File to write the outcome to.")
    listen_host: str = Field("0.0.0.0", description="Address to serve /status, /metrics, /healthz and /readyz on.")
    listen_port: int = Field(names.PORT, ge=0, le=65535, description="Port to serve them on; 0 picks a free one and logs it.")
    grace_seconds: float = Field(120, ge=0, allow_inf_nan=False, description="Time between SIGTERM and SIGKILL.")
    cpus: float = Field(math.inf, gt=0, description="Cores that the container may use. Default: all cores of the machine.")
    storage_patience_seconds: float = Field(
        120, ge=0, allow_inf_nan=False, description="How long reads are retried while storage does not answer."
    )
    # Half an hour is longer than a store takes to restart, and the most that a pod that cannot save anything should cost.
    upload_patience_seconds: float = Field(
        1800,
        ge=0,
        allow_inf_nan=False,
        description="How long uploads may fail while training continues, before the attempt ends with an error worth retrying.",
    )
    upload_every_seconds: float = Field(
        5, ge=0, allow_inf_nan=False, description="Pause between uploads of new log lines and metrics."
    )
    pull_connections: int = Field(32, ge=1, description="Requests in flight at once while the dataset is downloaded.")
    # The worker reports about once a second while it trains and evaluates, so this must exceed the longest of its other steps:
    # reading annotations, compiling the network, writing the model.
    worker_silence_seconds: float = Field(
        1800,
        ge=0,
        allow_inf_nan=False,
        description="How long the worker may stay silent before it counts as hung (in a kernel, a driver, a file system) and is "
        "killed.",
    )

    @property
    def threads(self) -> int:
        """Threads to compute with. A limit above the node's cores does not help: extra threads only wait for each other."""
        return max(1, math.ceil(min(self.cpus, len(os.sched_getaffinity(0)))))


def settings_from(
    environment: Mapping[str, str],
    job_file: str | None = None,
    dataset: str | None = None,
    output: str | None = None,
    initial_weights: str | None = None,
) -> Settings:
    """Reads the settings from the command line and environment variables.

    Raises FatalError(INVALID_SPEC), which names each missing or wrong variable.
    """
    given = {"job_file": job_file} if job_file else {}
    try:
        return Settings.from_environment(
            environment,
            environment=dict(environment),
            dataset=dataset,
            output=output,
            initial_weights=initial_weights,
            **given,
        )
    except BadSettingsError as error:
        raise FatalError(Reason.INVALID_SPEC, str(error)) from error
