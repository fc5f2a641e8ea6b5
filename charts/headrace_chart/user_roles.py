"""ClusterRoles that give whoever holds `view`, `edit` or `admin` in a namespace the same over its TrainingJobs.

Kubernetes merges them into its own roles of these names, by their labels. Without them only an administrator of the cluster could
use TrainingJobs, and nobody else could install an operator for a namespace: a Role may only be made by who holds what it grants.

A cluster needs them once, as it needs the definition, however many operators it has: they lie beside the definition in `crds/`,
and the chart makes both together.
"""

import sys
from typing import Any, Final

import yaml

from headrace_api import names
from headrace_operator import permissions, rbac

Json = dict[str, Any]

_HEADER: Final = "# Generated from charts/headrace_chart/user_roles.py by `make manifests`. Change that, not this file.\n"
_HEAD: Final = """\
{{- /* Generated from charts/headrace_chart/user_roles.py by `make manifests`. Change that, not this file. */ -}}
{{- if and .Values.crds.enabled .Values.rbac.userRoles }}
"""
_METADATA: Final = """\
    {{- include "headrace.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""
_FOOT: Final = "{{- end }}\n"
_ORDER: Final = ("view", "edit", "admin")
"""Who holds one of them may do what those before it may."""


def user_roles() -> list[Json]:
    """The three roles."""
    jobs = {"apiGroups": [names.GROUP], "resources": [names.PLURAL]}
    rules = {
        "view": [{**jobs, "verbs": ["get", "list", "watch"]}],
        "edit": [{**jobs, "verbs": ["create", "delete", "deletecollection", "patch", "update"]}],
        # All that an operator's Role in a namespace of jobs grants, so that its admin can make that Role.
        "admin": rbac.rules(permissions.IN_JOBS_NAMESPACES),
    }
    return [
        {
            "apiVersion": f"{rbac.API_GROUP}/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": f"headrace-{names.PLURAL}-{role}",
                "labels": {f"{rbac.API_GROUP}/aggregate-to-{into}": "true" for into in _ORDER[_ORDER.index(role) :]},
            },
            "rules": rules[role],
        }
        for role in _ORDER
    ]


def to_yaml() -> str:
    """As they lie in crds/."""
    return _HEADER + rbac.to_yaml(user_roles())


def template() -> str:
    """As they lie in the chart: with its labels, and kept as the definition is."""
    text = yaml.safe_dump_all(user_roles(), sort_keys=False, explicit_start=True)
    return _HEAD + text.replace("rules:\n", f"{_METADATA}rules:\n") + _FOOT


if __name__ == "__main__":
    sys.stdout.write(to_yaml())
