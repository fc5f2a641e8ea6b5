"""Reading one TrainingJob from a YAML file."""

import re
from pathlib import Path

import yaml
from pydantic import ValidationError

from headrace_api.names import API_VERSION, KIND
from headrace_api.trainingjob import TrainingJob
from headrace_api.wrong_fields import WrongField, wrong_fields
from headrace_cli.failure import fail

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?")
"""The names that the API server accepts for a TrainingJob."""


def read_job(file: Path) -> TrainingJob:
    """The one TrainingJob in `file`; exits with a message if the file contains anything else."""
    try:
        documents = [one for one in yaml.safe_load_all(file.read_text()) if one is not None]
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        fail(f"{file} is not YAML: {error}")
    if len(documents) != 1:
        fail(f"{file} contains {len(documents)} documents; `headrace train` needs exactly one {KIND}")
    document = documents[0]
    if not isinstance(document, dict):
        fail(f"{file} contains a {type(document).__name__}; a {KIND} starts with apiVersion, kind, metadata and spec")
    for name, wanted in (("kind", KIND), ("apiVersion", API_VERSION)):
        if document.get(name) != wanted:
            fail(f"{file}: {name} is {document.get(name)!r}, but must be {wanted!r}")
    try:
        # Only by the names in YAML: the models also accept Python's, but the API server does not. Types are not strict, because
        # this YAML reader takes some numbers for text, such as 1e-3, that kubectl reads as numbers.
        job = TrainingJob.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        fail("\n".join([f"{file} is not a valid {KIND}:", *map(_line, wrong_fields(error, TrainingJob))]))
    if not _NAME.fullmatch(job.metadata.name):
        fail(
            f"{file}: metadata.name is {job.metadata.name!r}, but must be a DNS label of at most 52 characters: "
            "lower-case letters, digits and '-'"
        )
    return job


def _line(wrong: WrongField) -> str:
    return f"  {wrong}" + (f" ({wrong.description})" if wrong.description else "")
