"""The CustomResourceDefinition, generated from the models: `python -m headrace_api.crd` prints it, `make manifests` writes it."""

import sys
from typing import Any

import yaml

from headrace_api import names
from headrace_api.structural import structural_schema
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
    {"name": "Score", "type": "string", "jsonPath": ".status.progress.score", "description": "The main score of each head."},
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
            "spec": structural_schema(TrainingJobSpec, "spec"),
            "status": structural_schema(TrainingJobStatus, "status"),
        },
        "x-kubernetes-validations": [rule.to_schema() for rule in TrainingJob.rules],
    }


def to_yaml() -> str:
    """The CRD as it is in crds/ and in the chart."""
    return _HEADER + yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=120)


if __name__ == "__main__":
    sys.stdout.write(to_yaml())
