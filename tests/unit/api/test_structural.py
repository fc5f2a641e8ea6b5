"""What the API server can hold has a schema; everything else is refused by the name of its field."""

from decimal import Decimal
from typing import Annotated, Any, Literal, Union

import pytest
from pydantic import BaseModel, ConfigDict, Field, Json, SecretStr, create_model

from headrace_api.structural import NotStructuralError, described_schema, structural_schema

KEPT = {"x-kubernetes-preserve-unknown-fields": True}


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = 1


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    size: int = 1


class TypedExtra(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, int] = Field(init=False)

    size: int = 1


class Tree(BaseModel):
    children: list["Tree"] = Field(default_factory=list)


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


def of(type_: Any) -> dict[str, Any]:
    inner = create_model("Inner", field=(type_, ...))
    schema = structural_schema(create_model("Outer", inner=(inner, ...)), "spec")
    field: dict[str, Any] = schema["properties"]["inner"]["properties"]["field"]
    return field


EXPRESSED: dict[str, tuple[Any, dict[str, Any]]] = {
    "a mapping": (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    "a mapping of lists": (
        dict[str, list[str]],
        {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    ),
    "a free-form mapping": (dict[str, Any], {"type": "object"} | KEPT),
    "a bare mapping": (dict, {"type": "object"} | KEPT),
    "anything": (Any, KEPT),
    "anything in a list": (list[Any], {"type": "array", "items": KEPT}),
    "anything in a mapping of mappings": (
        dict[str, dict[str, Any]],
        {"type": "object", "additionalProperties": {"type": "object"} | KEPT},
    ),
    "a model": (Leaf, {"type": "object", "properties": {"size": {"type": "integer", "default": 1}}}),
    "a model with extra fields": (Open, {"type": "object", "properties": {"size": {"type": "integer", "default": 1}}} | KEPT),
    "an optional field": (int | None, {"type": "integer"}),
    "a constant": (Literal["a"], {"type": "string", "enum": ["a"]}),
    "words": (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
    "an open bound": (Annotated[float, Field(gt=0)], {"type": "number", "minimum": 0, "exclusiveMinimum": True}),
    "a tuple of any length": (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    "a set of words": (set[str], {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
    "examples": (Annotated[int, Field(examples=[1])], {"type": "integer"}),
}


@pytest.mark.parametrize("case", EXPRESSED)
def test_what_the_server_can_hold_is_expressed(case: str) -> None:
    type_, want = EXPRESSED[case]
    assert of(type_) == want


def extra(**keywords: Any) -> Any:
    return Annotated[str, Field(json_schema_extra=keywords)]


REFUSED: dict[str, tuple[Any, str, str]] = {
    "a union": (int | str, "spec.inner.field: ", "anyOf of several types; use a field for each alternative"),
    "a union of three": (Union[int, str, None], "spec.inner.field: ", "anyOf"),  # noqa: UP007
    "models distinguished by a word": (Pet, "spec.inner.field: ", "use a field for each alternative"),
    "a union in a list": (list[int | str], "spec.inner.field[]: ", "anyOf"),
    "a union in a mapping": (dict[str, int | str], "spec.inner.field.*: ", "anyOf"),
    "a decimal": (Decimal, "spec.inner.field: ", "anyOf"),
    "a tuple": (tuple[int, str], "spec.inner.field: ", "prefixItems; use a list of one type with min_length and max_length"),
    "keys by pattern": (
        dict[Annotated[str, Field(pattern="^a")], int],
        "spec.inner.field: ",
        "patternProperties; use dict[str, ...] with a CEL Rule",
    ),
    "keys by name": (dict[Literal["a", "b"], int], "spec.inner.field: ", "propertyNames; use dict[str, ...] with a CEL Rule"),
    "a model that contains itself": (
        Tree,
        "spec.inner.field.children[]: ",
        "Tree within Tree; use models that are nested to a fixed depth",
    ),
    "extra fields next to typed ones": (TypedExtra, "spec.inner.field: ", "use a field of type dict[str, ...]"),
    "words of several types": (Literal["a", 1], "spec.inner.field: ", "use values of one type"),
    "null among words": (Annotated[str, Field(json_schema_extra={"enum": ["a", None]})], "spec.inner.field: ", "null"),
    "null alone": (None, "spec.inner.field: ", "null"),
    "a set of models": (frozenset[tuple[int, ...]], "spec.inner.field: ", "use a list with a CEL Rule"),
    "two lower bounds": (Annotated[int, Field(ge=1, gt=0)], "spec.inner.field: ", "use one of them"),
    "JSON in a string": (Json[dict[str, int]], "spec.inner.field: ", "use a model, or a plain string"),
    "a secret": (SecretStr, "spec.inner.field: ", "use the name of a Secret"),
    "an object of nothing": (
        Annotated[Any, Field(json_schema_extra={"type": "object"})],
        "spec.inner.field: ",
        "all of it would be pruned",
    ),
    "a list of nothing": (Annotated[Any, Field(json_schema_extra={"type": "array"})], "spec.inner.field: ", "unknown items"),
    "oneOf": (extra(oneOf=[{"type": "string"}]), "spec.inner.field: ", "oneOf"),
    "several at the same time": (
        extra(allOf=[{"type": "string"}, {"maxLength": 3}]),
        "spec.inner.field: ",
        "use one model with all",
    ),
    "not": (extra(**{"not": {"maxLength": 3}}), "spec.inner.field: ", "not; use a CEL Rule"),
    "if": (extra(**{"if": {"maxLength": 3}, "then": {}}), "spec.inner.field: ", "if; use a CEL Rule"),
    "dependencies": (extra(dependentRequired={"a": ["b"]}), "spec.inner.field: ", "dependentRequired; use a CEL Rule"),
    "contains": (extra(contains={"type": "string"}), "spec.inner.field: ", "contains; use a CEL Rule"),
    "deprecated": (Annotated[int, Field(deprecated=True)], "spec.inner.field: ", "deprecated; use a note in the description"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_server_cannot_hold_is_refused_by_name(case: str) -> None:
    type_, path, words = REFUSED[case]
    with pytest.raises(NotStructuralError) as error:
        of(type_)
    assert str(error.value).startswith(f"{path}a structural schema cannot express ")
    assert words in str(error.value)


def test_a_default_is_not_taken_for_a_schema() -> None:
    default = {"title": "kept", "anyOf": None}
    model = create_model("Model", field=(dict[str, Any], Field(default=default)))
    assert structural_schema(model, "spec")["properties"]["field"]["default"] == default


def test_a_field_may_have_the_name_of_a_keyword() -> None:
    model = create_model("Model", title=(int, ...), properties=(int, ...), oneOf=(int, ...))
    assert set(structural_schema(model, "spec")["properties"]) == {"title", "properties", "oneOf"}


def test_documents_that_no_server_sees_may_have_fields_of_several_types() -> None:
    model = create_model("Model", field=(str | list[str] | None, None), keys=(dict[Literal["a"], int], ...))
    fields = described_schema(model)["properties"]
    assert fields["field"]["type"] == "string or array"
    assert fields["keys"]["additionalProperties"] == {"type": "integer"}
