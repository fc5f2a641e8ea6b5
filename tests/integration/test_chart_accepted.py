"""An API server accepts what the chart renders: each case of the matrix, by server-side dry run with strict validation.

`monitoring_crds/` has the Prometheus Operator's own definitions, so its schemas check the objects meant for it.
"""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace_local.access import ClusterAccess, KubectlError
from headrace_testing.charts import MATRIX, NUMBERS, Helm, of_kind

Json = dict[str, Any]
MONITORING = Path(__file__).parent / "monitoring_crds"


@pytest.fixture(scope="module")
def release_namespace(cluster: ClusterAccess) -> Iterator[str]:
    """A namespace for the release, next to the matrix's namespaces for jobs; the cluster has the Prometheus Operator's kinds."""
    cluster.kubectl("apply", "--server-side", "-f", str(MONITORING))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(MONITORING))
    made = [f"chart-{secrets.token_hex(4)}", "team-a", "team-b", "5e3"]
    for name in made:
        cluster.create_namespace(name)
    yield made[0]
    cluster.kubectl("delete", "namespace", *made, "--wait=false")
    cluster.kubectl("delete", "-f", str(MONITORING), "--wait=false")


def try_to_apply(cluster: ClusterAccess, objects: list[Json]) -> str:
    """The names of what the server would have applied."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    words = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-")
    return cluster.kubectl(*words, input=text)


@pytest.mark.parametrize("case", MATRIX)
def test_the_api_server_accepts_every_rendering(cluster: ClusterAccess, release_namespace: str, helm: Helm, case: str) -> None:
    objects = helm.render(MATRIX[case], namespace=release_namespace)
    assert len(try_to_apply(cluster, objects).split()) == len(objects)


def test_it_accepts_names_that_look_like_numbers(cluster: ClusterAccess, release_namespace: str, helm: Helm) -> None:
    namespace = str(10**9 + secrets.randbelow(10**9))
    cluster.create_namespace(namespace)
    objects = helm.render(NUMBERS, namespace, "2024")
    assert len(try_to_apply(cluster, objects).split()) == len(objects)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def test_the_dry_run_would_find_an_unknown_field(cluster: ClusterAccess, release_namespace: str, helm: Helm) -> None:
    for kind in ("Deployment", "PodMonitor", "PrometheusRule", "NetworkPolicy"):
        values = {**MATRIX["monitored"], **MATRIX["fenced"]}
        one = of_kind(helm.render(values, namespace=release_namespace), kind)[0]
        one["spec"]["misspelt"] = 1
        with pytest.raises(KubectlError, match="misspelt"):
            try_to_apply(cluster, [one])


def test_the_operators_pod_may_run_where_only_restricted_ones_may(
    cluster: ClusterAccess, release_namespace: str, helm: Helm
) -> None:
    """PodSecurity does not check a Deployment's pod template, only a pod."""
    cluster.kubectl("label", "namespace", release_namespace, "pod-security.kubernetes.io/enforce=restricted")
    (deployment,) = of_kind(helm.render({}, namespace=release_namespace), "Deployment")
    template = yaml.safe_load(yaml.safe_dump(deployment["spec"]["template"]))
    del template["spec"]["serviceAccountName"]  # does not exist: nothing is installed
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] |= {"name": "operator", "namespace": release_namespace}
    try_to_apply(cluster, [pod])
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        try_to_apply(cluster, [pod])
