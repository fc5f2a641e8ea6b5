"""Reads documents written by another version of Headrace: a newer trainer, or a newer operator before a rollback."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


def read_tolerantly(model: type[M], document: Any, instead: Mapping[str, Any] | None = None) -> tuple[M, tuple[str, ...]]:
    """Reads a document, ignoring unknown fields and leaving out those that cannot be read.

    Args:
        instead: values, by the document's names, for fields that cannot be read but are required.

    Returns the model and the names of the fields that could not be read.

    Raises:
        ValidationError: it is invalid even without them.
    """
    try:
        return model.model_validate(document, extra="ignore"), ()
    except ValidationError as error:
        bad = tuple(sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}))
        if not isinstance(document, Mapping) or not bad:
            raise
        readable = {name: value for name, value in document.items() if name not in bad}
        substitutes = {name: value for name, value in (instead or {}).items() if name in bad}
        return model.model_validate(readable | substitutes, extra="ignore"), bad
