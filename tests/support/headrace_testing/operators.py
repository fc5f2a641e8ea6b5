"""A real operator process for one test module, with its own namespace, account and RBAC, so that modules run side by side."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from headrace_local.access import ClusterAccess
from headrace_local.cluster_operator import PROGRAM, SERVICE_ACCOUNT
from headrace_local.http_check import answers
from headrace_local.ports import free_ports
from headrace_local.processes import Process
from headrace_operator.rbac import manifests, to_yaml

QUICK = {
    "HEADRACE_BACKOFF_BASE": "0.3",
    "HEADRACE_BACKOFF_CAP": "2",
    "HEADRACE_LEADER_LEASE": "2",
    "HEADRACE_PROGRESS_POLL": "0.1",
    "HEADRACE_PROGRESS_WRITE": "0.1",
    "HEADRACE_WAITING_MESSAGES_PER_SECOND": "1000",
}
"""Short pauses, so that a test of minutes takes seconds."""


@dataclass
class OperatedNamespace:
    """A namespace that operators serve in namespaced mode."""

    cluster: ClusterAccess
    name: str
    operators: list[Process] = field(default_factory=list)
    port: int = 0
    """The /metrics port of the operator started last."""

    def environment(self) -> dict[str, str]:
        """The settings of an operator of this namespace, with a free port of its own."""
        return {
            "KUBECONFIG": str(self.cluster.service_account_kubeconfig(self.name, SERVICE_ACCOUNT)),
            "HEADRACE_NAMESPACE": self.name,
            "HEADRACE_WATCH_NAMESPACES": self.name,
            "HEADRACE_TRAINER_IMAGE": "trainer:test",
            "HEADRACE_LISTEN_HOST": "127.0.0.1",
            "HEADRACE_METRICS_PORT": str(free_ports(1)[0]),
            **QUICK,
        }

    def start(self, extra: Mapping[str, str] | None = None) -> Process:
        """Starts an operator and returns once it is ready."""
        environment = self.environment() | dict(extra or {})
        self.port = int(environment["HEADRACE_METRICS_PORT"])
        url = f"http://127.0.0.1:{self.port}/readyz"
        name = f"operator-{self.name}-{len(self.operators)}"
        process = self.cluster.start(name, [*PROGRAM, "run"], env=environment, ready=lambda: answers(url))
        self.operators.append(process)
        return process


@contextmanager
def operated_namespace(cluster: ClusterAccess) -> Iterator[OperatedNamespace]:
    """A fresh namespace with the operator's account and exactly the rules that `rbac` prints; nothing runs yet."""
    name = f"op-{secrets.token_hex(4)}"
    cluster.create_namespace(name)
    cluster.kubectl("apply", "-f", "-", input=to_yaml(manifests(name, [name])))
    cluster.wait_for_service_account(name, SERVICE_ACCOUNT)
    operated = OperatedNamespace(cluster, name)
    try:
        yield operated
    finally:
        for process in operated.operators:
            process.kill()
        cluster.kubectl("delete", "namespace", name, "--wait=false")
