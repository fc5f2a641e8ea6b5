"""What a trainer is told by its environment and command line."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace_api import names
from headrace_api.errors import FatalError
from headrace_api.names import Reason

ENV_STORAGE_PATIENCE_SECONDS = "HEADRACE_STORAGE_PATIENCE_SECONDS"
ENV_UPLOAD_PATIENCE_SECONDS = "HEADRACE_UPLOAD_PATIENCE_SECONDS"
ENV_UPLOAD_EVERY_SECONDS = "HEADRACE_UPLOAD_EVERY_SECONDS"
ENV_PULL_CONNECTIONS = "HEADRACE_PULL_CONNECTIONS"
ENV_WORKER_SILENCE_SECONDS = "HEADRACE_WORKER_SILENCE_SECONDS"


@dataclass(frozen=True)
class Settings:
    """Of one attempt."""

    job_file: Path
    """The TrainingJob, as JSON."""
    workspace: Path
    environment: Mapping[str, str] = field(repr=False)
    """Everything else that is in the environment: the storage's keys, and what the worker gets of it."""
    dataset: str | None = None
    """Instead of spec.dataset.uri: s3://bucket/prefix/ or a folder, which is used in place."""
    output: str | None = None
    """Instead of spec.output.uri: s3://bucket/prefix/ or a folder."""
    initial_weights: str | None = None
    """Instead of spec.model.initialWeights.uri: s3://... or a path, which is only read."""
    attempt: int | None = None
    """Number of this attempt; None counts those in the run folder."""
    termination_log: Path | None = None
    listen_host: str = "0.0.0.0"
    listen_port: int = names.PORT
    grace_seconds: float = 120
    """Between SIGTERM and SIGKILL."""
    threads: int = 1
    """Cores to compute with."""
    storage_patience_seconds: float = 120
    """How long storage may stay away while something is read from it."""
    upload_patience_seconds: float = 1800
    """How long uploads may fail, the training going on, before the attempt ends in an error worth retrying: half an hour outlives
    the restart of a store, and is what a pod that cannot save anything may cost at most."""
    upload_every_seconds: float = 5
    """Between two uploads of new log lines and metrics."""
    pull_connections: int = 32
    """Requests under way at once while the dataset is pulled."""
    worker_silence_seconds: float = 1800
    """How long the worker may say nothing before it counts as hung (in a kernel, a driver, a file system) and is killed. It reports
    about once a second while it trains and evaluates, so what counts is the longest of its other steps: reading annotations,
    compiling the network, writing the model."""


def settings_from(
    environment: Mapping[str, str],
    job_file: str | None = None,
    dataset: str | None = None,
    output: str | None = None,
    initial_weights: str | None = None,
) -> Settings:
    """Settings from environment variables, whose names are in headrace_api.names and above.

    Raises FatalError(INVALID_SPEC) naming the variable that is missing or no number.
    """
    file = job_file or environment.get(names.ENV_JOB_FILE)
    if not file:
        raise FatalError(Reason.INVALID_SPEC, f"no job: give a file, or set {names.ENV_JOB_FILE}")
    defaults = Settings(Path(file), Path(), {})
    attempt = environment.get(names.ENV_ATTEMPT)
    log = environment.get(names.ENV_TERMINATION_LOG)

    def number(name: str, default: float) -> float:
        text = environment.get(name) or str(default)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            raise FatalError(Reason.INVALID_SPEC, f"{name} is {text!r}; it must be a number, 0 or more")
        return value

    # A limit above what the node has is no use: more threads than cores only wait for each other.
    cores = len(os.sched_getaffinity(0))
    return Settings(
        job_file=Path(file),
        workspace=Path(environment.get(names.ENV_WORKSPACE) or names.PATH_WORKSPACE),
        environment=environment,
        dataset=dataset,
        output=output,
        initial_weights=initial_weights,
        attempt=int(number(names.ENV_ATTEMPT, 1)) if attempt else None,
        termination_log=Path(log) if log else None,
        listen_host=environment.get(names.ENV_LISTEN_HOST) or defaults.listen_host,
        listen_port=int(number(names.ENV_LISTEN_PORT, defaults.listen_port)),
        grace_seconds=number(names.ENV_GRACE_SECONDS, defaults.grace_seconds),
        threads=max(1, min(cores, math.ceil(number(names.ENV_CPUS, cores)))),
        storage_patience_seconds=number(ENV_STORAGE_PATIENCE_SECONDS, defaults.storage_patience_seconds),
        upload_patience_seconds=number(ENV_UPLOAD_PATIENCE_SECONDS, defaults.upload_patience_seconds),
        upload_every_seconds=number(ENV_UPLOAD_EVERY_SECONDS, defaults.upload_every_seconds),
        pull_connections=max(1, int(number(ENV_PULL_CONNECTIONS, defaults.pull_connections))),
        worker_silence_seconds=number(ENV_WORKER_SILENCE_SECONDS, defaults.worker_silence_seconds),
    )
