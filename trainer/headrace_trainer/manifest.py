"""Reads a dataset's dataset.json, wherever it came from."""

from pydantic import ValidationError

from headrace_api.dataset import MANIFEST, Manifest
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.wrong_fields import wrong_fields_in_words


def manifest_from(content: bytes, dataset: str = "") -> Manifest:
    """Parses the content of a dataset.json; error messages name `dataset`, its URI, if given.

    Raises FatalError(BAD_DATASET), which names each wrong field and what it should be.
    """
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        wrong = wrong_fields_in_words(error, Manifest)
        raise FatalError(Reason.BAD_DATASET, f"{dataset}{MANIFEST} is not valid: {wrong}") from error
