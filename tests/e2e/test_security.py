"""The trainer's pod can do what it must and nothing else: a program with exactly the same settings tries."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from headrace_e2e.lab import ENDLESS, Lab, manifest

# Tries what a trainer must not be able to do.
PROBE = """
import ctypes, json, os, pathlib, socket, urllib.request

def result(act):
    try:
        return str(act())
    except Exception as error:
        return type(error).__name__ + ": " + str(error)

def status(key):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(key + ":"))

def connect(address):
    host, port = address.split(":")
    socket.create_connection((host, int(port)), timeout=3).close()
    return "connected"

libc = ctypes.CDLL(None, use_errno=True)
print(json.dumps({
    "user": os.getuid(),
    "capabilities": [status(key) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no new privileges": status("NoNewPrivs"),
    "seccomp": status("Seccomp"),
    "root": result(lambda: open("/here", "w")),
    "code": result(lambda: open("/opt/headrace/here", "w")),
    "workspace": result(lambda: open("/workspace/here", "w").write("x")),
    "token": result(lambda: os.listdir("/var/run/secrets/kubernetes.io/serviceaccount")),
    "unshare": libc.unshare(0x10000000),
    "storage": result(lambda: connect(os.environ["AWS_ENDPOINT_URL"].partition("//")[2])),
    "api server": result(lambda: connect("10.96.0.1:443")),
    "cloud": sorted(name for name in os.environ if name.startswith("KUBERNETES_")),
}))
"""

DENY_ALL = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny-all"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}


@pytest.fixture(scope="module")
def trainer(lab: Lab) -> Iterator[dict[str, Any]]:
    """The pod of a running job."""
    job = lab.apply(manifest("guarded-1", "guarded", maxIterations=ENDLESS))
    lab.until_iteration(job, 1)
    pod = lab.history.pod("guarded-1-1")
    assert pod is not None
    yield pod
    lab.delete(job)


def like(trainer: dict[str, Any]) -> dict[str, Any]:
    """A pod with its settings but without its labels, which would make the operator take it for a trainer."""
    wanted = ("securityContext", "automountServiceAccountToken", "enableServiceLinks", "containers", "volumes")
    spec = json.loads(json.dumps({key: trainer["spec"][key] for key in wanted}))
    container = spec["containers"][0]
    for key in ("startupProbe", "livenessProbe", "readinessProbe"):
        del container[key]
    container["resources"] = {"limits": {"cpu": "100m", "memory": "256Mi"}}
    return {"apiVersion": "v1", "kind": "Pod", "spec": spec}


def test_a_program_in_the_trainers_place_can_do_only_what_it_must(lab: Lab, trainer: dict[str, Any]) -> None:
    told = json.loads(lab.run_python("probe", like(trainer), PROBE))
    assert told["user"] == 65532
    assert set(told["capabilities"]) == {"0000000000000000"}
    assert (told["no new privileges"], told["seccomp"]) == ("1", "2")
    assert "Read-only file system" in told["root"], told["root"]
    assert "Read-only file system" in told["code"], told["code"]
    assert told["workspace"] == "1"
    assert told["token"].startswith("FileNotFoundError")
    assert told["unshare"] == -1
    assert told["storage"] == "connected"


def test_the_pods_pass_the_restricted_pod_security_standard(lab: Lab, trainer: dict[str, Any]) -> None:
    """In a labelled namespace the API server refuses pods that don't: a dry run shows it."""
    document = like(trainer) | {"metadata": {"name": "dry"}}
    lab.kubectl("label", "namespace", lab.namespace, "--overwrite", "pod-security.kubernetes.io/enforce=restricted")
    lab.kubectl("apply", "--dry-run=server", "-f", "-", input=json.dumps(document))


def test_whether_this_network_enforces_policies_is_reported(lab: Lab, trainer: dict[str, Any], report: dict[str, Any]) -> None:
    """The bridge plugin does not enforce them, and then our policies prove nothing, so the report says so."""
    lab.kubectl("apply", "-f", "-", input=json.dumps(DENY_ALL))
    try:
        told = json.loads(lab.run_python("denied", like(trainer), PROBE))
    finally:
        lab.kubectl("delete", "networkpolicy", "deny-all")
    report["network policies are enforced"] = told["storage"] != "connected"
    assert report["network policies are enforced"] in {True, False}
