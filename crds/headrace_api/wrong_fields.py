"""Explains pydantic's errors to users: one sentence per field, with the name that they wrote and the model's description."""

import difflib
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from headrace_api.first_few import first_few

_MOST_NAMED: Final = 5
_LONGEST_VALUE: Final = 80
_WORDS: Final = {"missing": "is required", "model_type": "should be an object with fields", "dict_type": "should be an object"}
_SUBJECT: Final = re.compile(r"(?:Input|String|List|Dictionary|Tuple|Data|Value) should ")


@dataclass(frozen=True)
class WrongField:
    """A field that is wrong, and why."""

    path: str
    """Dotted, as in YAML or JSON: "spec.model.heads.0.name"; "" for the document as a whole."""
    text: str
    """What it should be."""
    found: str
    """The value found; "" if it is too complex to show."""
    unknown: bool
    """Whether the model has no such field."""
    description: str
    """What the field is for; "" if there is no such field."""

    @property
    def sentence(self) -> str:
        """The sentence without the path: "should be a valid integer, but is 'many'"."""
        return f"{self.text}, but is {self.found}" if self.found else self.text

    def __str__(self) -> str:
        if self.path:
            return f"{self.path}: {self.sentence}"
        return f"the document {self.sentence}" if self.sentence.startswith(("should ", "is ")) else self.sentence


def wrong_fields(error: ValidationError, model: Any) -> list[WrongField]:
    """All wrong fields, in the order of the document; `model` is the type that the document should have."""
    found = [_wrong_field(details, model) for details in error.errors(include_url=False)]
    # For a union, pydantic reports one error per alternative.
    return [_alternatives(list(same)) for _, same in groupby(found, key=lambda one: one.path)]


def wrong_fields_in_words(error: ValidationError, model: Any) -> str:
    """The wrong fields in one line; only the first few if there are many."""
    return first_few(wrong_fields(error, model), _MOST_NAMED, "; ")


def _alternatives(same: Sequence[WrongField]) -> WrongField:
    first, *others = dict.fromkeys(one.text for one in same)
    beginning = "should be "
    texts = [text.removeprefix(beginning) if first.startswith(beginning) else text for text in others]
    return replace(same[0], text=" or ".join([first, *texts]))


def _wrong_field(details: ErrorDetails, model: Any) -> WrongField:
    place = _Place.of(details["loc"], model)
    if details["type"] == "extra_forbidden":
        name = str(details["loc"][-1])  # as the user wrote it: the field's Python name may be refused, too
        path = ".".join([*place.path[:-1], _shown(name)])
        return WrongField(path, f"there is no such field; {_names_there(name, place.parent)}", "", True, "")
    return WrongField(".".join(place.path), _text(details), _found(details), False, (place.field and place.field.description) or "")


def _text(details: ErrorDetails) -> str:
    kind, message = details["type"], details["msg"]
    if kind == "value_error":  # one of our own rules, with its own message
        return message.removeprefix("Value error, ")
    if kind == "json_invalid":
        return f"is not JSON: {message.removeprefix('Invalid JSON: ')}"
    return _WORDS.get(kind) or _SUBJECT.sub("should ", message.partition(", unable to parse")[0], count=1)


def _found(details: ErrorDetails) -> str:
    found = details["input"]
    if details["type"] in {"missing", "value_error", "json_invalid"} or not isinstance(found, str | int | float | bool):
        return ""
    return _cut(repr(found))


def _shown(name: str) -> str:
    """A name that anyone may have written: control characters escaped, and cut short."""
    return _cut(name if name.isprintable() else repr(name))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _names_there(name: str, parent: type[BaseModel] | None) -> str:
    if parent is None:
        return "remove it"
    names = [field.alias or name for name, field in parent.model_fields.items()]
    close = difflib.get_close_matches(name[:_LONGEST_VALUE], names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"the fields here are: {', '.join(names)}"


@dataclass(frozen=True)
class _Place:
    """The place in a model that one of pydantic's locations names."""

    path: tuple[str, ...]
    type: Any
    """The type that the model allows here; None if it has no such place."""
    field: FieldInfo | None = None
    """None for the whole document and for entries of lists and mappings."""
    parent: type[BaseModel] | None = None
    chosen: bool = False
    """Whether the location has already named one of a union's alternatives."""

    @classmethod
    def of(cls, location: Sequence[str | int], model: Any) -> "_Place":
        place = cls((), model)
        for step in location:
            if step == "[key]":  # the entry is already named; the rest says which alternative its key does not match
                break
            place = place._within(step)
        return place

    def _within(self, step: str | int) -> "_Place":
        choices = tuple(_choices(self.type))
        if isinstance(step, str) and len(choices) > 1 and not self.chosen:
            # This is pydantic's name for an alternative of a union, such as "list[str]"; it is not part of the document's path.
            return replace(self, chosen=True)
        path = (*self.path, str(step))
        models = [choice for choice in choices if inspect.isclass(choice) and issubclass(choice, BaseModel)]
        for parent in models:
            for name, field in parent.model_fields.items():
                if step in {name, field.alias}:
                    return _Place((*self.path, field.alias or name), field.annotation, field, parent)
        return _Place(path, _entry(choices, step), parent=models[0] if len(models) == 1 else None)


def _entry(choices: Sequence[Any], step: str | int) -> Any:
    """The type of an entry at a key or index, from the first choice that is a mapping or a list."""
    wanted = Mapping if isinstance(step, str) else Sequence
    for choice in choices:
        origin, arguments = typing.get_origin(choice), typing.get_args(choice)
        if arguments and inspect.isclass(origin) and issubclass(origin, wanted):
            return arguments[1 if wanted is Mapping else 0]
    return None


def _choices(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows: the alternatives of a union, without None and Annotated."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _choices(typing.get_args(annotation)[0])
    elif origin is typing.Union or origin is types.UnionType:
        for inner in typing.get_args(annotation):
            yield from _choices(inner)
    elif annotation is not None and annotation is not type(None):
        yield annotation
