"""The CustomResourceDefinition, made from the models: `python -m headrace_api.crd` prints it, `make manifests` writes it.

What the API server demands of a schema ("structural": no references, no null types, bounds in OpenAPI 3.0's form) is stated at
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema.
"""

import copy
import sys
from typing import Any

import yaml
from pydantic import BaseModel

from headrace_api import names
from headrace_api.trainingjob import TrainingJob, TrainingJobSpec, TrainingJobStatus

_HEADER = "# Generated from headrace_api by `make manifests`. Change the models, not this file.\n"

_COLUMNS = (
    {"name": "Project", "type": "string", "jsonPath": ".spec.project"},
    {"name": "State", "type": "string", "jsonPath": ".status.state"},
    {
        "name": "Progress",
        "type": "integer",
        "jsonPath": ".status.progress.percentage",
        "description": "Percent.",
    },
    {"name": "Restarts", "type": "integer", "jsonPath": ".status.restarts"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Reason", "type": "string", "jsonPath": ".status.message", "priority": 1},
    {"name": "Node", "type": "string", "jsonPath": ".status.node", "priority": 1},
)


def custom_resource_definition() -> dict[str, Any]:
    """The whole object, ready to apply."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.PLURAL}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": [names.SHORT_NAME],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "selectableFields": [{"jsonPath": ".spec.project"}],
                    "additionalPrinterColumns": list(_COLUMNS),
                    "schema": {"openAPIV3Schema": _object_schema()},
                }
            ],
        },
    }


def _object_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "description": TrainingJob.__doc__,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(TrainingJobSpec),
            "status": structural_schema(TrainingJobStatus),
        },
        "x-kubernetes-validations": [rule.to_schema() for rule in TrainingJob.rules],
    }


def structural_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The structural schema of a model of the contract, with its CEL rules."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    structural: dict[str, Any] = _structural(schema, schema.get("$defs", {}))
    return structural


_DROPPED = frozenset({"$defs", "title", "additionalProperties"})
"""What a structural schema does without: unknown fields are pruned by the server, with a warning by kubectl."""


def _structural(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_structural(entry, definitions) for entry in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[1]]
        return _structural({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    if "anyOf" in node:  # Optional[X]: an absent field, never null
        only = _first_type(node["anyOf"])
        return _structural({**only, **{key: value for key, value in node.items() if key != "anyOf"}}, definitions)
    if "properties" in node:
        return _map_of_fields(node, definitions)
    schema = {key: _structural(value, definitions) for key, value in node.items() if key not in _DROPPED}
    if isinstance(values := node.get("additionalProperties"), dict):
        schema["additionalProperties"] = _structural(values, definitions)
    return _in_openapi_terms(schema)


def _first_type(options: list[dict[str, Any]]) -> dict[str, Any]:
    """The one alternative to null. (dataset.json, which is not in the CRD, has a field of several types: named together.)"""
    types = [option for option in options if option.get("type") != "null"]
    return types[0] if len(types) == 1 else {"type": " or ".join(option["type"] for option in types)}


def _map_of_fields(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """An object with properties: these are named by the user's fields, not by schema keywords."""
    # Copied: of a model that stands in two places, YAML would write what both share once, and refer to it.
    outer = {key: copy.deepcopy(value) for key, value in node.items() if key not in _DROPPED and key != "properties"}
    fields = {name: _structural(field, definitions) for name, field in node["properties"].items()}
    return _in_openapi_terms({**outer, "properties": fields})


def _in_openapi_terms(schema: dict[str, Any]) -> dict[str, Any]:
    """JSON schema 2020-12 to what the API server reads: draft-4 bounds, enum for const, no null defaults."""
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    for bound in ("Minimum", "Maximum"):
        if (value := schema.pop(f"exclusive{bound}", None)) is not None:
            schema[bound.lower()] = value
            schema[f"exclusive{bound}"] = True
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type")
        schema.pop("maxLength", None)
    if schema.get("type") == "object" and "maxLength" in schema:
        schema["maxProperties"] = schema.pop("maxLength")
    if schema.get("default", ...) is None:
        del schema["default"]
    return schema


def to_yaml() -> str:
    """The CRD as it lies in crds/ and in the chart."""
    return _HEADER + yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=120)


if __name__ == "__main__":
    sys.stdout.write(to_yaml())
