"""Reading the job and dataset.json: whatever is wrong with them is said field by field, before anything is pulled."""

import re
from pathlib import Path

from pydantic import ValidationError

from headrace_api.dataset import MANIFEST, Manifest
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.trainingjob import TrainingJob
from headrace_storage.retry import Retry
from headrace_storage.store import NotFoundError, Store

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def read_job(file: Path) -> TrainingJob:
    """The job of this attempt, as JSON. Raises FatalError(INVALID_SPEC)."""
    try:
        job = TrainingJob.model_validate_json(file.read_bytes())
    except OSError as error:
        raise FatalError(Reason.INVALID_SPEC, f"the job cannot be read: {error}") from error
    except ValidationError as error:
        raise FatalError(Reason.INVALID_SPEC, f"the job is not valid: {_problems(error)}") from error
    # The API server sees to it; here they become parts of paths, so it is checked again.
    for field, value in (("name", job.metadata.name), ("namespace", job.metadata.namespace), ("uid", job.metadata.uid or "none")):
        if not _NAME.fullmatch(value):
            raise FatalError(
                Reason.INVALID_SPEC, f"metadata.{field} is {value!r}, and must be of lower-case letters, digits and '-'"
            )
    return job


def read_manifest(dataset: Store, retry: Retry) -> Manifest | None:
    """What dataset.json says is where in the dataset; None where there is no such file. Raises FatalError(BAD_DATASET)."""
    try:
        content = retry.call(f"reading {MANIFEST}", lambda: dataset.read(MANIFEST))
    except NotFoundError:
        return None
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise FatalError(Reason.BAD_DATASET, f"{dataset.uri}{MANIFEST} is not valid: {_problems(error)}") from error


def _problems(error: ValidationError) -> str:
    """Each wrong field and what would be right, in one line."""
    return "; ".join(
        f"{'.'.join(str(step) for step in problem['loc']) or 'the whole'}: {problem['msg']}" for problem in error.errors()
    )
