"""The operator's RBAC manifests, generated from the table in permissions.py: exactly the verbs used."""

from collections.abc import Iterable, Sequence

import yaml

from headrace_operator.api import Json
from headrace_operator.permissions import IN_JOBS_NAMESPACES, OF_THE_CLUSTER, Permission, in_own_namespace
from headrace_operator.settings import NAME, lease_of

API_GROUP = "rbac.authorization.k8s.io"


def manifests(namespace: str, watch_namespaces: Sequence[str] = (), *, name: str = NAME, account: str = "") -> list[Json]:
    """The service account with its roles and bindings; with `watch_namespaces`, Roles in those and nothing cluster-wide.

    Args:
        namespace: the operator's own namespace.
        name: the operator's name, as in the chart's Deployment; the roles and the leader Lease are named after it.
        account: name of the service account; if empty, the operator's name.
    """
    subject: Json = {"kind": "ServiceAccount", "name": account or name, "namespace": namespace}
    documents: list[Json] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": subject["name"], "namespace": namespace}}
    ]
    documents += _granted("Role", f"{name}-leader", namespace, in_own_namespace(lease_of(name)), subject)
    if not watch_namespaces:
        return documents + _granted("ClusterRole", name, None, (*IN_JOBS_NAMESPACES, *OF_THE_CLUSTER), subject)
    for watched in watch_namespaces:
        documents += _granted("Role", name, watched, IN_JOBS_NAMESPACES, subject)
    return documents


def to_yaml(documents: Iterable[Json]) -> str:
    """One YAML stream, for `kubectl apply -f -`."""
    return yaml.safe_dump_all(documents, sort_keys=False, explicit_start=True)


def rules(permissions: Iterable[Permission]) -> list[Json]:
    """The rules of a role that grants these permissions."""
    return [
        {"apiGroups": [p.group], "resources": [p.resource], "verbs": list(p.verbs)}
        | ({"resourceNames": [p.name]} if p.name else {})
        for p in permissions
    ]


def _granted(kind: str, name: str, role_namespace: str | None, permissions: Sequence[Permission], subject: Json) -> list[Json]:
    """A role and its binding to the operator's account."""
    metadata = {"name": name} if role_namespace is None else {"name": name, "namespace": role_namespace}
    return [
        {"apiVersion": f"{API_GROUP}/v1", "kind": kind, "metadata": metadata, "rules": rules(permissions)},
        {
            "apiVersion": f"{API_GROUP}/v1",
            "kind": f"{kind}Binding",
            "metadata": dict(metadata),
            "roleRef": {"apiGroup": API_GROUP, "kind": kind, "name": name},
            "subjects": [dict(subject)],
        },
    ]
