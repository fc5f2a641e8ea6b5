"""The operator as the embedded cluster runs it: installed with its own rules, running under its own account."""

import sys
import textwrap
from pathlib import Path

import pytest

from headrace_local.access import ClusterAccess
from headrace_local.cluster_operator import NAMESPACE, SERVICE_ACCOUNT, install_operator, operator_environment, start_operator
from headrace_local.processes import ProcessEndedError

# Has the operator's command line: prints rules, and then runs under the account that has them.
STAND_IN = """
    import http.server, os, sys
    namespace = "headrace-system"
    if sys.argv[1] == "rbac":
        assert sys.argv[2:] == ["--namespace", namespace]
        print("apiVersion: v1\\nkind: ServiceAccount\\nmetadata: {name: headrace-operator, namespace: headrace-system}")
        sys.exit()
    assert sys.argv[1:] == ["run"]
    if os.environ.get("FAIL"):
        sys.exit("cannot list resource trainingjobs")
    from kubernetes import client, config
    config.load_kube_config(os.environ["KUBECONFIG"])
    who = client.AuthenticationV1Api().create_self_subject_review({}).status.user_info.username
    print("I am", who, "for", os.environ["HEADRACE_TRAINER_IMAGE"], flush=True)
    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/readyz" else 404)
            self.end_headers()
    address = (os.environ["HEADRACE_LISTEN_HOST"], int(os.environ["HEADRACE_METRICS_PORT"]))
    http.server.HTTPServer(address, Ready).serve_forever()
"""


@pytest.fixture(scope="module")
def stand_in(cluster: ClusterAccess, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    script: Path = tmp_path_factory.mktemp("operator") / "stand_in.py"
    script.write_text(textwrap.dedent(STAND_IN))
    return [sys.executable, str(script)]


def test_the_operator_runs_as_its_own_service_account(cluster: ClusterAccess, stand_in: list[str]) -> None:
    install_operator(cluster, program=stand_in)
    operator = start_operator(cluster, name="operator-stand-in", program=stand_in)
    try:
        want = f"I am system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT} for headrace-trainer:dev"
        assert want in operator.log_tail()
    finally:
        operator.kill()


def test_an_operator_that_cannot_start_says_why(cluster: ClusterAccess, stand_in: list[str]) -> None:
    install_operator(cluster, program=stand_in)
    with pytest.raises(ProcessEndedError, match=r"exit code 1(.|\n)*cannot list resource trainingjobs"):
        start_operator(cluster, {"FAIL": "1"}, name="operator-that-fails", program=stand_in)
    cluster.check()  # its end was reported once, so later users of the cluster don't see it


def test_operators_side_by_side_have_their_own_ports(cluster: ClusterAccess, stand_in: list[str]) -> None:
    install_operator(cluster, program=stand_in)
    ports = {operator_environment(cluster)["HEADRACE_METRICS_PORT"] for _ in range(5)}
    assert len(ports) == 5
