"""Writes the chart's generated files."""

import json
from pathlib import Path

import yaml

from headrace_chart.crd_template import crd_template
from headrace_chart.readme import to_markdown
from headrace_chart.schema import values_schema
from headrace_chart.user_roles import template as user_roles_template
from headrace_chart.values_file import values_yaml
from headrace_operator import permissions, rbac
from headrace_operator.settings import NAME, lease_of

_PERMISSIONS_HEADER = (
    "# Generated from operator/headrace_operator/permissions.py by `make manifests`; templates/operator/rbac.yaml reads it.\n"
)


def files() -> dict[str, str]:
    """The content of each generated file, by its path in the chart."""
    return {
        "values.yaml": values_yaml(),
        "values.schema.json": json.dumps(values_schema(), indent=1, ensure_ascii=False) + "\n",
        "README.md": to_markdown(),
        "templates/crd.yaml": crd_template(),
        "templates/user_roles.yaml": user_roles_template(),
        "files/permissions.yaml": _permissions(),
    }


def write(folder: Path) -> None:
    """Writes all generated files into the chart's folder."""
    for path, text in files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def _permissions() -> str:
    """Rules of the roles in the jobs' namespaces, in the operator's own namespace, and of those only a ClusterRole can grant.

    The template replaces the default's Lease with the release's own.
    """
    tables = {
        "inJobsNamespaces": permissions.IN_JOBS_NAMESPACES,
        "inOwnNamespace": permissions.in_own_namespace(lease_of(NAME)),
        "ofTheCluster": permissions.OF_THE_CLUSTER,
    }
    return _PERMISSIONS_HEADER + yaml.safe_dump({name: rbac.rules(table) for name, table in tables.items()}, sort_keys=False)
