"""ClusterRoles that extend `view`, `edit` and `admin` of a namespace to its TrainingJobs.

Kubernetes merges them, by their labels, into its own roles of these names. Without them only a cluster administrator could use
TrainingJobs or install an operator for a namespace: you can only create a Role if you hold everything it grants.

A cluster needs them once, like the definition, however many operators it has. So they are beside the definition in `crds/`, and
the chart creates both together.
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
"""Each role includes the ones before it."""


def user_roles() -> list[Json]:
    """The three roles."""
    jobs = {"apiGroups": [names.GROUP], "resources": [names.PLURAL]}
    rules = {
        "view": [{**jobs, "verbs": ["get", "list", "watch"]}],
        "edit": [{**jobs, "verbs": ["create", "delete", "deletecollection", "patch", "update"]}],
        # Everything that an operator's Role grants in a namespace of jobs, so that the namespace's admin can create that Role.
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
    """The roles as crds/ has them."""
    return _HEADER + rbac.to_yaml(user_roles())


def template() -> str:
    """The roles as the chart has them: with the chart's labels, and kept whenever it keeps the definition."""
    text = yaml.safe_dump_all(user_roles(), sort_keys=False, explicit_start=True)
    return _HEAD + text.replace("rules:\n", f"{_METADATA}rules:\n") + _FOOT


if __name__ == "__main__":
    sys.stdout.write(to_yaml())
