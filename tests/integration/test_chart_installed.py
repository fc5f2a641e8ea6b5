"""Helm installs the chart into a separate cluster: in a shared one it would serve every other test's jobs.

The operator's Deployment runs on a process node, with the account and roles that the chart makes; the tests play jobs' pods.
"""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace_local.access import ClusterAccess, KubectlError
from headrace_local.cluster import Cluster
from headrace_testing import operator_in_pod
from headrace_testing.charts import CHART, NAMESPACE, RELEASE, Helm, HelmError
from headrace_testing.players import Player, eventually
from headrace_testing.process_nodes import NodeForTests

Json = dict[str, Any]

IMAGE = "headrace-operator:test"
PROGRAM = (sys.executable, operator_in_pod.__file__)
CRD = "trainingjobs.headrace.dev"
CRDS = CHART.parents[1] / "crds"
DEFINITION = "\n---\n".join(file.read_text() for file in sorted(CRDS.glob("*.yaml")))
ROLES = tuple(f"clusterrole/headrace-trainingjobs-{name}" for name in ("view", "edit", "admin"))
FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterAccess]:
    """A cluster without TrainingJobs, with a node that can run the operator's image."""
    with Cluster(folder=tmp_path_factory.mktemp("own") / "cluster", s3=False, contract=False) as cluster:
        node = NodeForTests.start(cluster, images={IMAGE: PROGRAM})
        cluster.create_namespace(NAMESPACE)
        cluster.create_namespace("jobs")
        yield cluster
        node.stop()


@pytest.fixture
def here(own: ClusterAccess, helm: Helm) -> Iterator[Helm]:
    """Helm for that cluster, which has no TrainingJobs and no release: each test begins with two empty namespaces and
    leaves them empty."""
    here = Helm(helm.program, helm.home, own.kubeconfig)
    yield here
    for release in json.loads(here.run("list", "--all-namespaces", "--output", "json")):
        here.run("uninstall", release["name"], "--namespace", release["namespace"], "--wait")
    # Jobs have no finalizers: when their definition goes, they and their pods go.
    own.kubectl("delete", "crd", CRD, "--ignore-not-found")
    own.kubectl("delete", *ROLES, "--ignore-not-found")
    # The namespaces stay: deleting one takes at least five seconds.
    for namespace in (NAMESPACE, "jobs"):
        own.kubectl("delete", "leases,pods,rolebindings", "--all", "--namespace", namespace, "--timeout=60s")


@pytest.fixture
def player(own: ClusterAccess, here: Helm) -> Iterator[Player]:
    player = Player(own, "jobs")
    yield player
    player.close()


def values(cluster: ClusterAccess, **more: Any) -> Json:
    """Values with which the operator runs on the process node."""
    reached = {
        "API_SERVER": cluster.api_url,
        "SERVICE_ACCOUNT_FOLDER": FOLDER,
    }
    operator = {
        "settings": {"listenHost": "$(POD_IP)", "backoffBase": 0.3, "progressPoll": 0.1, "leaderLease": 2},
        "extraEnv": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            *({"name": name, "value": value} for name, value in reached.items()),
        ],
        "tolerations": [{"operator": "Exists"}],
        # A process node holds processes to their memory limit by their address space.
        "resources": {"limits": {"memory": "2Gi"}},
    }
    return {"images": {"operator": IMAGE, "trainer": "trainer:test"}, "operator": operator} | more


def put(helm: Helm, verb: str, chart: Path, given: Json, *words: str, namespace: str = NAMESPACE) -> str:
    """Runs `helm install` or `helm upgrade`; returns what it tells the user."""
    return helm.run(verb, RELEASE, chart, "--namespace", namespace, "--values", helm.values(given), "--timeout", "60s", *words)


def previous_chart(helm: Helm, folder: Path) -> Path:
    """The chart as an earlier version: another number, another default, and one field of a job less."""
    chart = shutil.copytree(CHART, folder / "headrace")
    change(chart / "Chart.yaml", lambda text: re.sub(r"(?m)^(version|appVersion): .*$", r'\1: "0.0.1"', text))
    change(chart / "values.yaml", lambda text: text.replace("workers: 64", "workers: 32"))
    change(chart / "templates/crd.yaml", lambda text: text.replace("preRunningDeadlineSeconds:", "formerDeadlineSeconds:"))
    helm.run("package", chart, "--destination", folder)
    return folder / "headrace-0.0.1.tgz"


def change(file: Path, how: Callable[[str], str]) -> None:
    """Changes a file's text; fails if nothing changes."""
    before = file.read_text()
    file.write_text(how(before))
    assert file.read_text() != before


def operators(cluster: ClusterAccess, namespace: str = NAMESPACE) -> list[Json]:
    """The operator's pods that are not being deleted."""
    found = json.loads(cluster.kubectl("get", "pods", "-n", namespace, "-l", "app.kubernetes.io/component=operator", "-o", "json"))
    return [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]


def log_of(cluster: ClusterAccess, namespace: str = NAMESPACE) -> str:
    """The logs of the operator's pods; empty for containers that don't exist yet."""
    started = [pod for pod in operators(cluster, namespace) if _has_started(pod)]
    return "\n".join(cluster.kubectl("logs", "-n", namespace, pod["metadata"]["name"]) for pod in started)


def _has_started(pod: Json) -> bool:
    containers = pod["status"].get("containerStatuses", [])
    return any("running" in container["state"] or "terminated" in container["state"] for container in containers)


def the_queue_goes_on(player: Player, pod: Json) -> None:
    """Job "one" still has the same pod, and the test lets it end; then "two" runs."""
    after = player.pod("one-1")
    assert after
    assert after["metadata"]["uid"] == pod["metadata"]["uid"]
    assert "deletionTimestamp" not in after["metadata"]
    player.done("one-1")
    player.await_state("one", "Done")
    player.run("two-1")
    player.await_state("two", "Running")


def apply_by_hand(cluster: ClusterAccess, *words: str, text: str = DEFINITION) -> None:
    """`kubectl apply` of crds/, until the server serves TrainingJobs."""
    cluster.kubectl("apply", *words, "-f", "-", input=text)
    eventually(
        "TrainingJobs are served", lambda: "trainingjobs" in cluster.kubectl("api-resources", "-o", "name", "--cached=false")
    )


def known_fields(cluster: ClusterAccess) -> set[str]:
    """Fields of a job's spec that the API server knows."""
    (version,) = json.loads(cluster.kubectl("get", "crd", CRD, "-o", "json"))["spec"]["versions"]
    return set(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])


def test_an_upgrade_leaves_running_jobs_alone_and_an_uninstall_leaves_all_jobs(
    own: ClusterAccess, here: Helm, player: Player, tmp_path: Path
) -> None:
    # 1. The previous version runs a job; another one waits behind it.
    told = put(here, "install", previous_chart(here, tmp_path), values(own), "--wait")
    assert "kubectl create secret generic headrace-storage --namespace default" in told
    assert {pod["spec"]["containers"][0]["image"] for pod in operators(own)} == {IMAGE}
    assert len(operators(own)) == 2
    assert "formerDeadlineSeconds" in known_fields(own)
    said = log_of(own)
    assert "older than this operator: it drops spec.preRunningDeadlineSeconds" in said
    assert "newer than this operator, which ignores spec.formerDeadlineSeconds" in said
    player.apply("one", "p")
    player.run("one-1")
    player.apply("two", "p")
    player.await_state("one", "Running")
    player.await_state("two", "Queued")
    pod, before = player.pod("one-1"), {pod["metadata"]["uid"] for pod in operators(own)}
    assert pod

    # 2. This version takes over: new operators, an updated definition, the same pod for the job.
    put(here, "upgrade", CHART, values(own), "--wait")
    assert not before & {pod["metadata"]["uid"] for pod in operators(own)}
    assert "preRunningDeadlineSeconds" in known_fields(own)
    player.await_state("one", "Running")
    the_queue_goes_on(player, pod)
    assert "may not" not in log_of(own)
    assert "than this operator" not in log_of(own)

    # 3. Without a release there is no operator, and the jobs have not changed.
    pod = player.pod("two-1")
    assert pod
    here.run("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
    eventually("the operators are gone", lambda: not operators(own))
    assert player.status("one")["state"] == "Done"
    assert player.status("two")["state"] == "Running"
    after = player.pod("two-1")
    assert after
    assert after["metadata"]["uid"] == pod["metadata"]["uid"]
    assert "deletionTimestamp" not in after["metadata"]
    player.done("two-1")

    # 4. A new installation adopts the definition and the jobs as they are.
    put(here, "install", CHART, values(own), "--wait")
    player.await_state("two", "Done")


def test_the_operator_may_do_what_the_table_says_and_nothing_else(own: ClusterAccess, here: Helm, player: Player) -> None:
    # Without roles it runs, says what it lacks, and is not ready.
    put(here, "install", CHART, values(own, rbac={"create": False}))
    eventually(
        "it says what it may not", lambda: "may not list, watch, delete trainingjobs.headrace.dev in the cluster" in log_of(own)
    )
    assert not any(container["ready"] for pod in operators(own) for container in pod["status"]["containerStatuses"])
    # With them it works, without a restart.
    put(here, "upgrade", CHART, values(own), "--wait")
    player.apply("job", "p")
    player.done_by_hand("job")

    def may(*question: str) -> bool:
        try:
            return (
                own.kubectl("auth", "can-i", *question, f"--as=system:serviceaccount:{NAMESPACE}:headrace-operator").strip()
                == "yes"
            )
        except KubectlError:
            return False

    assert may("create", "pods", "-n", "jobs")
    assert may("get", "nodes")
    for denied in (
        "get secrets",
        "create pods --subresource=exec",
        "create trainingjobs.headrace.dev",
        "update nodes",
        "delete leases",
    ):
        assert not may(*denied.split(), "-n", "jobs"), denied


def test_with_watch_namespaces_it_serves_these_and_has_nothing_cluster_wide(own: ClusterAccess, here: Helm, player: Player) -> None:
    put(here, "install", CHART, values(own, watchNamespaces=["jobs"]), "--wait")
    own.kubectl("apply", "-n", "default", "-f", "-", input=yaml.safe_dump(unserved_job()))
    player.apply("one", "p")
    player.done_by_hand("one")
    assert "may not" not in log_of(own)
    assert "status" not in json.loads(own.kubectl("get", "trainingjob", "unserved", "-n", "default", "-o", "json"))
    cluster_wide = own.kubectl("get", "clusterroles,clusterrolebindings", "-o", "name", "-l", "app.kubernetes.io/name=headrace")
    assert sorted(cluster_wide.split()) == sorted(name.replace("/", ".rbac.authorization.k8s.io/") for name in ROLES), (
        "users' alone"
    )
    own.kubectl("delete", "trainingjob", "unserved", "-n", "default")


def test_the_admin_of_a_namespace_installs_it_there(own: ClusterAccess, here: Helm, player: Player) -> None:
    """For a user with `admin` in one namespace and nothing cluster-wide; an administrator applied the cluster-wide objects once."""
    apply_by_hand(own, "--server-side", "--force-conflicts")
    own.kubectl("create", "rolebinding", "jane", "--clusterrole=admin", "--user=jane", "-n", "jobs")
    given = values(own, watchNamespaces=["jobs"], crds={"enabled": False})
    as_jane = ("--kube-as-user", "jane", "--wait")
    put(here, "install", CHART, given, *as_jane, namespace="jobs")
    player.apply("one", "p")
    player.done_by_hand("one")
    put(here, "upgrade", CHART, given, *as_jane, namespace="jobs")
    assert "may not" not in log_of(own, "jobs")
    own.kubectl("get", "trainingjobs", "-n", "jobs", "--as=jane")
    with pytest.raises(KubectlError, match="forbidden"):
        own.kubectl("get", "trainingjobs", "-n", "default", "--as=jane")


def test_a_users_role_in_a_namespace_covers_its_jobs(own: ClusterAccess, here: Helm) -> None:
    may = {
        "view": ["get", "list", "watch"],
        "edit": ["get", "create", "patch", "update", "delete"],
        "admin": ["get", "create", "delete", "patch --subresource=status"],
    }
    may_not = {"view": ["create", "patch", "delete"], "edit": ["patch --subresource=status"]}
    put(here, "install", CHART, values(own))
    for role in may:
        own.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}", "-n", "jobs")

    def can(role: str, question: str) -> bool:
        verb, *more = question.split()
        try:
            own.kubectl("auth", "can-i", verb, "trainingjobs.headrace.dev", *more, "-n", "jobs", f"--as={role}")
        except KubectlError:
            return False
        return True

    eventually("the roles are aggregated", lambda: all(can(role, question) for role in may for question in may[role]))
    assert [(role, question) for role in may_not for question in may_not[role] if can(role, question)] == []


def unserved_job() -> Json:
    """A job in a namespace that no operator watches."""
    from headrace_testing.builders import manifest

    return manifest("unserved", "p", "default")


def test_no_upgrade_deletes_the_definition_by_accident(own: ClusterAccess, here: Helm) -> None:
    put(here, "install", CHART, values(own, crds={"keep": False}), "--wait")
    with pytest.raises(HelmError, match=r"first upgrade with crds\.enabled=true and crds\.keep=true"):
        put(here, "upgrade", CHART, values(own, crds={"enabled": False}))
    assert own.kubectl("get", "crd", CRD, "-o", "name")
    put(here, "upgrade", CHART, values(own))
    put(here, "upgrade", CHART, values(own, crds={"enabled": False}))
    assert own.kubectl("get", "crd", CRD, "-o", "name")


def test_a_definition_that_was_applied_by_hand_can_be_taken_over(own: ClusterAccess, here: Helm, player: Player) -> None:
    apply_by_hand(own)
    player.apply("job", "p")
    with pytest.raises(HelmError, match="invalid ownership metadata"):
        put(here, "install", CHART, values(own))
    put(here, "install", CHART, values(own), "--take-ownership", "--wait")
    player.done_by_hand("job")


@pytest.mark.parametrize("words", [[], ["--server-side"]], ids=["apply", "apply --server-side"])
def test_an_older_definition_that_was_applied_by_hand_is_renewed(
    own: ClusterAccess, here: Helm, player: Player, words: list[str]
) -> None:
    """kubectl owns the fields that differ, so Helm, and later kubectl, need a flag to take them over."""
    older = DEFINITION.replace("preRunningDeadlineSeconds:", "formerDeadlineSeconds:")
    apply_by_hand(own, *words, text=older)
    player.apply("job", "p")
    with pytest.raises(HelmError, match="conflict"):
        put(here, "install", CHART, values(own), "--take-ownership")
    put(here, "upgrade", CHART, values(own), "--install", "--take-ownership", "--force-conflicts", "--wait")
    assert "preRunningDeadlineSeconds" in known_fields(own)
    player.done_by_hand("job")
    # From then on Helm owns the fields and needs no flag; kubectl does.
    put(here, "upgrade", CHART, values(own), "--wait")
    with pytest.raises(KubectlError, match="conflict"):
        own.kubectl("apply", "--server-side", "-f", "-", input=older)
    own.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=older)
    assert "formerDeadlineSeconds" in known_fields(own)


def test_a_rollback_brings_the_previous_version_back_and_jobs_continue(
    own: ClusterAccess, here: Helm, player: Player, tmp_path: Path
) -> None:
    put(here, "install", previous_chart(here, tmp_path), values(own), "--wait")
    player.apply("one", "p")
    player.run("one-1")
    player.await_state("one", "Running")
    put(here, "upgrade", CHART, values(own), "--wait")
    player.apply("two", "p", preRunningDeadlineSeconds=3600)
    player.await_state("two", "Queued")
    pod, newer = player.pod("one-1"), {pod["metadata"]["uid"] for pod in operators(own)}
    assert pod

    here.run("rollback", RELEASE, "1", "--namespace", NAMESPACE, "--wait", "--timeout", "60s")
    assert not newer & {pod["metadata"]["uid"] for pod in operators(own)}
    assert "formerDeadlineSeconds" in known_fields(own)
    assert "preRunningDeadlineSeconds" not in known_fields(own)
    the_queue_goes_on(player, pod)
    player.done("two-1")
    player.await_state("two", "Done")


def test_a_definition_that_is_not_kept_goes_with_the_release(own: ClusterAccess, here: Helm) -> None:
    told = put(here, "install", CHART, values(own, crds={"keep": False}), "--wait")
    assert "delete the\nCustomResourceDefinition, every TrainingJob and every trainer pod" in told
    here.run("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
    eventually("the definition is gone", lambda: not own.kubectl("get", "crd", CRD, "--ignore-not-found"))
