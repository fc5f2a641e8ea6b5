"""Converts a model's JSON schema to the "structural" form that the API server requires, or raises an error that names the field.

The server's rules (no references, no null types, bounds in OpenAPI 3.0's form) are at
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema.
We refuse what this form cannot express: if it were missing from the schema, the server would silently prune or not check it.
"""

import copy
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

PRESERVED = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"


class NotStructuralError(TypeError):
    """The API server cannot store a field as it is declared."""

    def __init__(self, path: str, what: str, instead: str) -> None:
        super().__init__(f"{path}: a structural schema cannot express {what}; use {instead}")


def structural_schema(model: type[BaseModel], path: str) -> Schema:
    """The structural schema of one of the contract's models, with its CEL rules.

    Args:
        path: the model's path in the object, such as "spec"; errors name fields by their path from there.

    Raises:
        NotStructuralError: a structural schema cannot express a field of the model.
    """
    return _read(model, path, strict=True)


def described_schema(model: type[BaseModel]) -> Schema:
    """The same for documents that no API server sees, to list their fields; leaves out keywords that only validate values."""
    return _read(model, model.__name__, strict=False)


def _read(model: type[BaseModel], path: str, *, strict: bool) -> Schema:
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _Reader(schema.get("$defs", {}), strict).read(schema, path)


_DROPPED = frozenset({"$defs", "title", "examples"})
"""Keywords that have no effect on which values are valid."""
_NESTED = frozenset({"properties", "additionalProperties", "items"})
_PLAIN = frozenset(
    {
        *("type", "format", "description", "default", "enum", "const", "pattern", "required"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    }
)
"""Keywords whose values are not schemas. Besides these and `_NESTED`, keywords that begin with x-kubernetes- are allowed."""
_TYPES = ("object", "array", "string", "integer", "number", "boolean")
_SAYS_NOTHING = frozenset({"description", "default"})

_RULE = "a CEL Rule (headrace_api.fields.Rule)"
_ALTERNATIVES = f"a field for each alternative, with {_RULE} that one of them is set"
_INSTEAD = {
    "anyOf": _ALTERNATIVES,
    "oneOf": _ALTERNATIVES,
    "discriminator": _ALTERNATIVES,
    "allOf": "one model with all of the fields",
    "prefixItems": "a list of one type with min_length and max_length, or a model with a field for each item",
    "patternProperties": f"dict[str, ...] with {_RULE} on the keys",
    "propertyNames": f"dict[str, ...] with {_RULE} on the keys",
    "writeOnly": "the name of a Secret (headrace_api.storage.SecretRef)",
    "readOnly": "a field of the status",
    "deprecated": "a note in the description",
    **dict.fromkeys(("contentMediaType", "contentSchema", "contentEncoding"), "a model, or a plain string"),
}
_INSTEAD_OF_OTHERS = _RULE


@dataclass(frozen=True)
class _Reader:
    definitions: Schema
    strict: bool

    def read(self, node: Schema, path: str, within: tuple[str, ...] = ()) -> Schema:
        """The schema of one field. `within` names the models that contain it."""
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[1]
            if name in within:
                raise NotStructuralError(path, f"{name} within {name}", "models that are nested to a fixed depth")
            return self.read(self.definitions[name] | _without(node, "$ref"), path, (*within, name))
        for several in ("anyOf", "allOf"):
            if several in node:
                return self.read(self._only(several, node[several], path) | _without(node, several), path, within)
        if self.strict:
            _check(node, path)
        return _in_openapi_terms(self._with_nested(node, path, within), path)

    def _only(self, keyword: str, options: list[Schema], path: str) -> Schema:
        """The only schema that is not null: an Optional[X] field is absent, never null."""
        options = [option for option in options if option.get("type") != "null"]
        if len(options) == 1:
            return options[0]
        if self.strict:
            raise NotStructuralError(path, f"{keyword} of several types", _INSTEAD[keyword])
        return {"type": " or ".join(option["type"] for option in options)}

    def _with_nested(self, node: Schema, path: str, within: tuple[str, ...]) -> Schema:
        # Without a copy, YAML would write a model that is used twice only once, and refer to it from the second place.
        schema = {key: copy.deepcopy(value) for key, value in node.items() if key not in _DROPPED | _NESTED or key == "items"}
        if "items" in node:
            schema["items"] = self.read(node["items"], f"{path}[]", within)
        values = node.get("additionalProperties")  # if False, the server prunes unknown fields, and kubectl warns about them
        if isinstance(values, dict):
            schema["additionalProperties"] = self.read(values, f"{path}.*", within)
        elif values or _says_nothing(node):
            schema[PRESERVED] = True  # Any, or dict[str, Any]: the server keeps it as written
        if "properties" in node:
            schema["properties"] = {name: self.read(field, f"{path}.{name}", within) for name, field in node["properties"].items()}
        return schema


def _without(node: Schema, key: str) -> Schema:
    return {other: value for other, value in node.items() if other != key}


def _says_nothing(node: Schema) -> bool:
    """Whether the schema allows any value."""
    return not any(key not in _DROPPED | _SAYS_NOTHING and not key.startswith("x-") for key in node)


def _check(node: Schema, path: str) -> None:
    """Raises NotStructuralError if the server would drop or refuse part of the node."""
    for keyword in node:
        if keyword not in _DROPPED | _NESTED | _PLAIN and not keyword.startswith("x-kubernetes-"):
            raise NotStructuralError(path, keyword, _INSTEAD.get(keyword, _INSTEAD_OF_OTHERS))
    type_ = node.get("type")
    if None in node.get("enum", ()) or type_ == "null" or ("const" in node and node["const"] is None):
        raise NotStructuralError(path, "null", "an optional field, which is absent instead")
    if type_ not in _TYPES and not _says_nothing(node):
        raise NotStructuralError(path, "values without a single type", "values of one type")
    if type_ == "array" and not isinstance(node.get("items"), dict):
        raise NotStructuralError(path, "a list of unknown items", "list[...] of a type")
    if type_ == "array" and node.get("uniqueItems") and node["items"].get("type") not in ("string", "integer", "number", "boolean"):
        raise NotStructuralError(path, "a set of anything but plain values", f"a list with {_RULE}")
    values = node.get("additionalProperties")
    if type_ == "object" and "properties" not in node and values in (None, False):
        raise NotStructuralError(path, "an object without known fields (all of it would be pruned)", "dict[str, ...] or a model")
    if isinstance(values, dict) and "properties" in node:
        raise NotStructuralError(
            path, "named fields together with free ones of a type", "a field of type dict[str, ...] for the free ones"
        )


def _in_openapi_terms(schema: Schema, path: str) -> Schema:
    """Converts JSON schema 2020-12 to what the API server reads: draft-4 bounds, enum for const, no null defaults."""
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    for bound in ("Minimum", "Maximum"):
        if (value := schema.pop(f"exclusive{bound}", None)) is not None:
            if bound.lower() in schema:
                raise NotStructuralError(path, f"both {bound.lower()} and exclusive{bound}", "one of them")
            schema[bound.lower()] = value
            schema[f"exclusive{bound}"] = True
    if schema.pop("uniqueItems", False):
        schema["x-kubernetes-list-type"] = "set"
    if schema.get(INT_OR_STRING):
        schema.pop("type")
        schema.pop("maxLength", None)
    if schema.get("type") == "object" and "maxLength" in schema:
        schema["maxProperties"] = schema.pop("maxLength")
    if schema.get("default", ...) is None:
        del schema["default"]
    return schema
