"""Explains what is wrong with a manifest, field by field, and what would be right, from the contract itself."""

import difflib
import inspect
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Location = Sequence[str | int]


def problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line for each wrong field of a `model`, starting with its path in the YAML."""
    return [_problem(problem["loc"], problem["type"], problem["msg"], problem["input"], model) for problem in error.errors()]


def _problem(location: Location, kind: str, message: str, found: Any, model: type[BaseModel]) -> str:
    path = ".".join(str(step) for step in location) or "the manifest"
    if kind == "extra_forbidden":
        return f"{path}: there is no such field; {_names_there(location, model)}"
    text = message.removeprefix("Value error, ").replace("Input should", "should")
    if kind == "missing":
        text = "is required"
    elif isinstance(found, str | int | float | bool):
        text += f", but is {found!r}"
    field = _field(location, model)
    return f"{path}: {text}" + (f" ({field.description})" if field is not None and field.description else "")


def _names_there(location: Location, model: type[BaseModel]) -> str:
    parent = _model(location[:-1], model)
    if parent is None:
        return "remove it"
    names = [field.alias or name for name, field in parent.model_fields.items()]
    close = difflib.get_close_matches(str(location[-1]), names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"the fields here are {', '.join(names)}"


def _model(location: Location, model: type[BaseModel]) -> type[BaseModel] | None:
    """The model at `location`."""
    if not location:
        return model
    field = _field(location, model)
    if field is not None:
        return _model_in(field.annotation)
    # An entry of a list: the list's own field says what type its entries have.
    return _model(location[:-1], model) if isinstance(location[-1], int) else None


def _field(location: Location, model: type[BaseModel]) -> FieldInfo | None:
    """The field at `location`, or None for an entry of a list or a field that the contract lacks."""
    if not location or isinstance(location[-1], int):
        return None
    parent = _model(location[:-1], model)
    if parent is None:
        return None
    return next((field for name, field in parent.model_fields.items() if location[-1] in {name, field.alias}), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model inside list[...], ... | None or Annotated[...]."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in typing.get_args(annotation) if (found := _model_in(inner))), None)
