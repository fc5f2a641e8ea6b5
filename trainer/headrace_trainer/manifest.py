"""Reads a dataset's dataset.json, wherever it was."""

from pydantic import ValidationError

from headrace_api.dataset import MANIFEST, Manifest
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.wrong_fields import wrong_fields_in_words


def manifest_from(content: bytes, dataset: str = "") -> Manifest:
    """What the content of a dataset.json says; `dataset` is the URI it is in, where readers of a message need it.

    Raises FatalError(BAD_DATASET) naming each wrong field and what would be right.
    """
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        wrong = wrong_fields_in_words(error, Manifest)
        raise FatalError(Reason.BAD_DATASET, f"{dataset}{MANIFEST} is not valid: {wrong}") from error
