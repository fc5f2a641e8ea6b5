"""What a trainer is told by its environment and command line."""

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
    """Of one attempt. Times are in seconds."""

    job_file: Path = Field(description="File with the TrainingJob, as JSON; the command line may name it instead.")
    workspace: Path = Field(Path(names.PATH_WORKSPACE), description="Folder to work in; wiped at the end.")
    environment: dict[str, str] = Field(
        repr=False, description="Everything else that is there: the storage's keys, and what the worker gets of it."
    )
    dataset: str | None = Field(
        None, description="Instead of spec.dataset.uri: s3://bucket/prefix/ or a folder, which is used in place."
    )
    output: str | None = Field(None, description="Instead of spec.output.uri: s3://bucket/prefix/ or a folder.")
    initial_weights: str | None = Field(
        None, description="Instead of spec.model.initialWeights.uri: s3://... or a path, which is only read."
    )
    attempt: int | None = Field(None, ge=1, description="Number of this attempt. Default: one more than the run folder has.")
    termination_log: Path | None = Field(None, description="File that takes the outcome.")
    listen_host: str = Field("0.0.0.0", description="Address of /status, /metrics, /healthz and /readyz.")
    listen_port: int = Field(names.PORT, ge=0, le=65535, description="Port of them; 0: a free one, logged.")
    grace_seconds: float = Field(120, ge=0, allow_inf_nan=False, description="Time between SIGTERM and SIGKILL.")
    cpus: float = Field(math.inf, gt=0, description="Cores that the container may use. Default: all of the machine's.")
    storage_patience_seconds: float = Field(
        120, ge=0, allow_inf_nan=False, description="How long storage may stay away while something is read from it."
    )
    # Half an hour outlives the restart of a store, and is what a pod that cannot save anything may cost at most.
    upload_patience_seconds: float = Field(
        1800,
        ge=0,
        allow_inf_nan=False,
        description="How long uploads may fail, the training going on, before the attempt ends in an error worth retrying.",
    )
    upload_every_seconds: float = Field(
        5, ge=0, allow_inf_nan=False, description="Pause between two uploads of new log lines and metrics."
    )
    pull_connections: int = Field(32, ge=1, description="Requests under way at once while the dataset is pulled.")
    # The worker reports about once a second while it trains and evaluates, so what counts is the longest of its other steps:
    # reading annotations, compiling the network, writing the model.
    worker_silence_seconds: float = Field(
        1800,
        ge=0,
        allow_inf_nan=False,
        description="How long the worker may say nothing before it counts as hung (in a kernel, a driver, a file system) and is "
        "killed.",
    )

    @property
    def threads(self) -> int:
        """To compute with. A limit above what the node has is no use: more threads than cores only wait for each other."""
        return max(1, math.ceil(min(self.cpus, len(os.sched_getaffinity(0)))))


def settings_from(
    environment: Mapping[str, str],
    job_file: str | None = None,
    dataset: str | None = None,
    output: str | None = None,
    initial_weights: str | None = None,
) -> Settings:
    """Settings from the command line and environment variables.

    Raises FatalError(INVALID_SPEC) naming each variable that is missing or wrong.
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
