"""The operator's permissions: one table for both its RBAC manifests and its check at startup."""

from dataclasses import dataclass

from headrace_api import names
from headrace_operator.api import Api
from headrace_operator.settings import Settings


@dataclass(frozen=True, slots=True)
class Permission:
    """Verbs on a resource, and why they are needed."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    name: str = ""
    """Name of the only allowed object; empty for all of the kind."""

    @property
    def shown(self) -> str:
        """`pods`, `trainingjobs.headrace.dev/status`."""
        plural, _, subresource = self.resource.partition("/")
        dotted = f"{plural}.{self.group}" if self.group else plural
        whole = f"{dotted}/{subresource}" if subresource else dotted
        return f"{whole} {self.name}" if self.name else whole


IN_JOBS_NAMESPACES = (
    Permission(names.GROUP, names.PLURAL, ("list", "watch", "delete"), "the queue; delete: ttlSecondsAfterFinished"),
    Permission(names.GROUP, f"{names.PLURAL}/status", ("patch",), "states and progress"),
    Permission("", "pods", ("get", "list", "watch", "create", "patch", "delete"), "trainers; patch: removes the scheduling gate"),
    Permission("coordination.k8s.io", "leases", ("get", "create", "update"), "the slot of each project"),
    Permission("events.k8s.io", "events", ("create",), "one at each transition"),
)
OF_THE_CLUSTER = (Permission("", "nodes", ("get",), "whether the node of a silent pod still exists"),)


def in_own_namespace(lease: str) -> tuple[Permission, ...]:
    """For leader election with the Lease of that name. RBAC cannot restrict create requests by name."""
    return (
        Permission("coordination.k8s.io", "leases", ("create",), "leader election"),
        Permission("coordination.k8s.io", "leases", ("get", "update"), "leader election", lease),
    )


async def missing(api: Api, settings: Settings) -> list[str]:
    """The permissions that this account lacks, one line each: which verb on what, where, and why."""
    lines: list[str] = []
    for namespace in settings.watch_namespaces or (None,):
        lines += await _missing(api, IN_JOBS_NAMESPACES, namespace)
    lines += await _missing(api, in_own_namespace(settings.leader_lease_name), settings.namespace)
    if settings.all_namespaces:
        lines += await _missing(api, OF_THE_CLUSTER, None)
    return lines


async def _missing(api: Api, permissions: tuple[Permission, ...], namespace: str | None) -> list[str]:
    lines = []
    for permission in permissions:
        resource, _, subresource = permission.resource.partition("/")
        asked = f"{resource}/{permission.name}" if permission.name else resource
        verbs = [verb for verb in permission.verbs if not await api.may(verb, permission.group, asked, subresource, namespace)]
        if verbs:
            where = f"in namespace {namespace}" if namespace else "in the cluster"
            lines.append(f"may not {', '.join(verbs)} {permission.shown} {where} (needed for: {permission.why})")
    return lines
