"""Reads the job and dataset.json, and reports problems field by field before anything is pulled."""

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from headrace_api import names
from headrace_api.dataset import MANIFEST, Manifest
from headrace_api.errors import FatalError
from headrace_api.first_few import first_few
from headrace_api.names import Reason
from headrace_api.trainingjob import TrainingJob
from headrace_api.wrong_fields import wrong_fields
from headrace_storage.retry import Retry
from headrace_storage.store import NotFoundError, Store
from headrace_trainer.manifest import manifest_from

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def read_job(file: Path, environment: Mapping[str, str]) -> TrainingJob:
    """Read the job of this attempt from JSON, with defaults filled in. Raises FatalError(INVALID_SPEC)."""
    try:
        job = TrainingJob.model_validate_json(file.read_bytes())
    except OSError as error:
        raise FatalError(Reason.INVALID_SPEC, f"the job cannot be read: {error}") from error
    except ValidationError as error:
        raise FatalError(Reason.INVALID_SPEC, _not_valid(error, environment)) from error
    # The API server validates these; they become parts of paths here, so check them again.
    for field, value in (("name", job.metadata.name), ("namespace", job.metadata.namespace), ("uid", job.metadata.uid or "none")):
        if not _NAME.fullmatch(value):
            raise FatalError(
                Reason.INVALID_SPEC, f"metadata.{field} is {value!r}, but may only have lower-case letters, digits and '-'"
            )
    return job


def read_manifest(dataset: Store, retry: Retry) -> Manifest | None:
    """Read dataset.json; None if there is no such file. Raises FatalError(BAD_DATASET)."""
    try:
        content = retry.call(f"reading {MANIFEST}", lambda: dataset.read(MANIFEST))
    except NotFoundError:
        return None
    return manifest_from(content, dataset.uri)


def _not_valid(error: ValidationError, environment: Mapping[str, str]) -> str:
    """What is wrong with the job. The API server and the operator accepted it, so if their release differs from this trainer's,
    that is probably why, and another image would help."""
    image, operator = environment.get(names.ENV_IMAGE), environment.get(names.ENV_OPERATOR_RELEASE)
    this = f"this trainer image ({image}, Headrace {names.RELEASE})" if image else f"this trainer (Headrace {names.RELEASE})"
    newer = f"an image of at least the operator's version ({operator})" if operator else "a newer trainer"
    fields = wrong_fields(error, TrainingJob)
    unknown = [field.path for field in fields if field.unknown]
    wrong = [field for field in fields if not field.unknown]
    said = []
    if unknown:
        them = "the field" if len(unknown) == 1 else "the fields"
        said.append(f"{this} does not know {first_few(unknown, 5)}: use {newer}, or remove {them}")
    if wrong:
        said.append(f"the job is not valid: {first_few(wrong, 5, '; ')}")
        if not unknown and operator not in (None, names.RELEASE):
            said.append(f"{this} has another version than the operator ({operator}), which accepted the job: use the same version")
    return "; ".join(said)
