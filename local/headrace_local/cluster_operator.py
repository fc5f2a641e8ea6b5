"""Runs Headrace's operator beside the cluster, under a service account with the operator's own RBAC rules."""

import subprocess
import sys
from collections.abc import Mapping, Sequence

from headrace_local.access import ClusterAccess
from headrace_local.http_check import answers
from headrace_local.ports import free_ports
from headrace_local.processes import Process

NAMESPACE = "headrace-system"
SERVICE_ACCOUNT = "headrace-operator"
TRAINER_IMAGE = "headrace-trainer:dev"

PROGRAM = (sys.executable, "-m", "headrace_operator")


def install_operator(cluster: ClusterAccess, program: Sequence[str] = PROGRAM) -> None:
    """Applies the manifests that `headrace_operator rbac` prints, in the operator's namespace. You can call it twice."""
    rules = subprocess.run([*program, "rbac", "--namespace", NAMESPACE], capture_output=True, text=True, check=False)
    if rules.returncode != 0:
        raise RuntimeError(f"`{' '.join(program)} rbac` failed:\n{rules.stderr.strip()}")
    if not cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
        cluster.create_namespace(NAMESPACE)
    cluster.kubectl("apply", "-f", "-", input=rules.stdout)
    cluster.wait_for_service_account(NAMESPACE, SERVICE_ACCOUNT)


def start_operator(
    cluster: ClusterAccess,
    extra_env: Mapping[str, str] | None = None,
    name: str = "operator",
    program: Sequence[str] = PROGRAM,
) -> Process:
    """Starts the operator, which `install_operator` has installed, and returns once it is ready.

    Its readiness and metrics are at `http://127.0.0.1:<port>/`, with the port in `environment`.
    """
    environment = operator_environment(cluster) | dict(extra_env or {})
    url = f"http://127.0.0.1:{environment['HEADRACE_METRICS_PORT']}/readyz"
    return cluster.start(name, [*program, "run"], env=environment, ready=lambda: answers(url))


def operator_environment(cluster: ClusterAccess) -> dict[str, str]:
    """The environment variables that configure the operator, with its own token and a free port."""
    return {
        "KUBECONFIG": str(cluster.service_account_kubeconfig(NAMESPACE, SERVICE_ACCOUNT)),
        "HEADRACE_NAMESPACE": NAMESPACE,
        "HEADRACE_TRAINER_IMAGE": TRAINER_IMAGE,
        "HEADRACE_LISTEN_HOST": "127.0.0.1",
        "HEADRACE_METRICS_PORT": str(free_ports(1)[0]),
    }
